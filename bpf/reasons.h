/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
 *
 * Every reason why a packet was not forwarded: the one list that makes the enum, the counters' names and the
 * CLI's texts. X(enumerator, name, what it means to an operator).
 *
 * A name is forever: dashboards and scripts hold it. Reasons to pass come before reasons to drop, and those before
 * answers; the borders are SL_REASON_FIRST_DROP and SL_REASON_FIRST_ANSWER in abi.h.
 */
#pragma once

/* clang-format off */
#define SL_PASS_REASONS(X)                                                                         \
	X(SL_PASS_NOT_IP,        "not_ip",         "not IPv4 or IPv6 (ARP, VLAN tag, ...)")        \
	X(SL_PASS_GROUP,         "group",          "sent to a group of hosts (broadcast, multicast)")  \
	X(SL_PASS_MALFORMED,     "malformed",      "headers that lie or are cut short")            \
	X(SL_PASS_FRAGMENT,      "fragment",       "an IP fragment of neither TCP nor UDP")        \
	X(SL_PASS_ORPHAN,        "orphan",         "a later fragment before a service's first one") \
	X(SL_PASS_EXTENSIONS,    "extensions",     "IPv6 headers that are too many, or a route")    \
	X(SL_PASS_NOT_TCP_UDP,   "not_tcp_udp",    "neither TCP, UDP nor an ICMP error about them")  \
	X(SL_PASS_NO_SERVICE,    "no_service",     "its destination is no service's VIP and port")

#define SL_DROP_REASONS(X)                                                                         \
	X(SL_DROP_NO_BACKEND,    "no_backend",     "the service has no live backend")              \
	X(SL_DROP_UNRESOLVED,    "unresolved",     "the backend's next hop is not known")          \
	X(SL_DROP_UPDATING,      "updating",       "the backend's path is just being changed")     \
	X(SL_DROP_TOO_BIG,       "too_big",        "longer than the path to the backend takes")    \
	X(SL_DROP_NO_HEADROOM,   "no_headroom",    "the driver left no room for another header")   \
	X(SL_DROP_NO_EGRESS,     "no_egress",      "the backend's interface takes no packets")     \
	X(SL_DROP_BROKEN_TABLE,  "broken_table",   "a table entry that must exist does not")

/* Packets that an answer was sent for. */
#define SL_ANSWER_REASONS(X)                                                                       \
	X(SL_ANSWER_TOO_BIG,     "told_too_big",   "too long for the path; its sender was told the MTU")

/* What packets of tracked flows did in the flow table; not a reason, and no substitute for one. In a steady state
 * none of these rises for a TCP service.
 */
#define SL_FLOW_EVENTS(X)                                                                          \
	X(SL_FLOW_ASKED,         "asked",          "packets whose backend the flow table was asked for")   \
	X(SL_FLOW_LEARNED,       "learned",        "flows whose first packet was written down")    \
	X(SL_FLOW_KEPT,          "kept",           "flows that spoke again and are sure of their place")   \
	X(SL_FLOW_FULL,          "full",           "packets of flows for which the table had no place")

/* The backend-side program's. */
#define SL_DECAP_REASONS(X)                                                                        \
	X(SL_DECAP_DONE,         "decapsulated",   "unpacked and given to this host")              \
	X(SL_DECAP_NOT_TUNNEL,   "not_tunnel",     "no IP-in-IP packet: passed on untouched")      \
	X(SL_DECAP_NOT_OURS,     "not_ours",       "a tunnel to another address: passed on")       \
	X(SL_DECAP_MALFORMED,    "malformed",      "inner headers that lie: dropped")              \
	X(SL_DECAP_CONGESTED,    "congested",      "marked CE, inner not ECN-capable: dropped")
/* clang-format on */
