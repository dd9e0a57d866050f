/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
 *
 * An ICMP error belongs to the flow whose packet it quotes. A backend sent that one: from the VIP, to the client. So the
 * descriptor gets the flow as if the client had sent the error, and the later stages need to know nothing of it.
 */
#pragma once

#include "transport.h"

#define SL_ICMP_HEADER 8 /* bytes, then the quote: RFC 792, RFC 4443 section 3 */
#define SL_ICMP4_UNREACHABLE 3
#define SL_ICMP4_TIME_EXCEEDED 11
#define SL_ICMP4_PARAMETER_PROBLEM 12
#define SL_ICMP6_FIRST_INFORMATIONAL 128 /* types below are errors, RFC 4443 section 2.1 */
#define SL_IPV4_OFFSET_MASK bpf_htons(0x1fff)

/* Only the ports are sure to be quoted: RFC 792 promises 8 bytes behind the IP header. */
SL_INLINE enum sl_reason sl_take_quoted_ports(struct sl_packet *packet, const struct sl_next *next)
{
	const __be16 *ports = next->at;

	if ((next->protocol != IPPROTO_TCP && next->protocol != IPPROTO_UDP) || next->fragment == SL_LATER_FRAGMENT)
		return SL_PASS_NOT_TCP_UDP;
	if ((void *)(ports + 2) > packet->data_end || next->size < 2 * sizeof(*ports))
		return SL_PASS_MALFORMED;
	packet->protocol = next->protocol;
	packet->source_port = ports[1];
	packet->destination_port = ports[0];
	packet->is_error = true;
	return SL_OK;
}

SL_INLINE enum sl_reason sl_parse_icmp4(struct sl_packet *packet, const struct sl_next *next)
{
	const __u8 *icmp = next->at;
	const struct iphdr *ip = next->at + SL_ICMP_HEADER;
	struct sl_next quoted = {};
	__u32 header_size;

	if (next->size < SL_ICMP_HEADER || icmp + SL_ICMP_HEADER > (__u8 *)packet->data_end)
		return SL_PASS_MALFORMED;
	if (icmp[0] != SL_ICMP4_UNREACHABLE && icmp[0] != SL_ICMP4_TIME_EXCEEDED &&
	    icmp[0] != SL_ICMP4_PARAMETER_PROBLEM)
		return SL_PASS_NOT_TCP_UDP;
	if (next->size < SL_ICMP_HEADER + sizeof(*ip) || (void *)(ip + 1) > packet->data_end)
		return SL_PASS_MALFORMED;
	header_size = ip->ihl * 4;
	if (ip->version != 4 || header_size < sizeof(*ip) || next->size < SL_ICMP_HEADER + header_size)
		return SL_PASS_MALFORMED;
	if (ip->saddr != packet->destination[0] || ip->frag_off & SL_IPV4_OFFSET_MASK)
		return SL_PASS_NOT_TCP_UDP;
	packet->source[0] = ip->daddr;
	quoted.at = (void *)ip + header_size;
	quoted.size = next->size - SL_ICMP_HEADER - header_size;
	quoted.protocol = ip->protocol;
	return sl_take_quoted_ports(packet, &quoted);
}

SL_INLINE enum sl_reason sl_parse_icmp6(struct sl_packet *packet, const struct sl_next *next)
{
	const __u8 *icmp = next->at;
	const struct ipv6hdr *ip = next->at + SL_ICMP_HEADER;
	const __be32 *source;
	enum sl_reason reason;
	struct sl_next quoted = {};

	if (next->size < SL_ICMP_HEADER || icmp + SL_ICMP_HEADER > (__u8 *)packet->data_end)
		return SL_PASS_MALFORMED;
	if (icmp[0] >= SL_ICMP6_FIRST_INFORMATIONAL)
		return SL_PASS_NOT_TCP_UDP;
	if (next->size < SL_ICMP_HEADER + sizeof(*ip) || (void *)(ip + 1) > packet->data_end || ip->version != 6)
		return SL_PASS_MALFORMED;
	source = ip->saddr.s6_addr32;
	if (source[0] != packet->destination[0] || source[1] != packet->destination[1] ||
	    source[2] != packet->destination[2] || source[3] != packet->destination[3])
		return SL_PASS_NOT_TCP_UDP;
	__builtin_memcpy(packet->source, &ip->daddr, sizeof(packet->source));
	quoted.at = (void *)(ip + 1);
	quoted.size = next->size - SL_ICMP_HEADER - sizeof(*ip);
	quoted.protocol = ip->nexthdr;
	reason = sl_skip_extensions(packet, &quoted);
	return reason == SL_OK ? sl_take_quoted_ports(packet, &quoted) : reason;
}
