/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
 *
 * The contract between the data plane (C, bpf/) and the agent (C++, userspace/): every map's key and value, in
 * the one place where they are written down. Sizes and offsets are asserted in both languages; padding is
 * explicit and zero. SL_ABI_VERSION guards the pinned maps: any change of a layout here raises it.
 *
 * Byte order: fields named __be* and byte arrays are in network order, everything else is the host's.
 * Ids (backends, services) start at 1; 0 is never valid.
 *
 * Invariants that the agent keeps and the programs rely on:
 *  1. A service's block [ring_base, ring_base + ring_mask] lies inside `ring` and `origin` and belongs to it
 *     alone until no packet can still hold the service's previous value.
 *  2. A slot or flow that names a backend id names either a live entry of `backends` of the same service or one
 *     whose state is SL_BACKEND_UNSET; an id is given to another backend only after every slot and flow that
 *     named it is gone.
 *  3. A backend entry is changed while packets read it only by single aligned stores (state, the first eight
 *     header bytes); any other change is made while its state is SL_BACKEND_UPDATING.
 */
#pragma once

#include <linux/types.h>

#include "reasons.h"

#ifdef __cplusplus
#define SL_ASSERT(condition) static_assert(condition, #condition)
#define SL_OFFSET(type, field) __builtin_offsetof(type, field)
#else
#define SL_ASSERT(condition) _Static_assert(condition, #condition)
#define SL_OFFSET(type, field) __builtin_offsetof(type, field)
#endif

#define SL_ABI_VERSION 1

#define SL_REASON_ENUMERATOR(enumerator, name, text) enumerator,
enum sl_reason {
	SL_OK, /* nothing against it so far; at the verdict: forwarded, counted at its backend */
	SL_PASS_REASONS(SL_REASON_ENUMERATOR) SL_DROP_REASONS(SL_REASON_ENUMERATOR)
		SL_ANSWER_REASONS(SL_REASON_ENUMERATOR) SL_REASON_COUNT,
	SL_REASON_FIRST_DROP = SL_DROP_NO_BACKEND,
	SL_REASON_FIRST_ANSWER = SL_ANSWER_TOO_BIG,
};
#undef SL_REASON_ENUMERATOR

/* ---- services_v4, services_v6: hash maps, (VIP, port, protocol) -> struct sl_service ---- */

struct sl_service_key4 {
	__be32 vip;
	__be16 port;   /* 0: any port; an exact port is looked up first */
	__u8 protocol; /* IANA */
	__u8 zero;
};
SL_ASSERT(sizeof(struct sl_service_key4) == 8);

struct sl_service_key6 {
	__be32 vip[4];
	__be16 port;
	__u8 protocol;
	__u8 zero;
};
SL_ASSERT(sizeof(struct sl_service_key6) == 20);

enum sl_service_flag {
	SL_SERVICE_TRACK_ALL = 1 << 0,	/* every flow goes through the flow table */
	SL_SERVICE_TRACK_NONE = 1 << 1, /* no flow does, whatever its slot says */
};

/* What of a packet chooses its slot: two bits of a service's flags for `ring`, two for `origin`. They differ from a
 * change of the hash on until the slots have settled: a flow older than the change is found by the hash of its time.
 */
enum sl_slot_hash {
	SL_HASH_FLOW,	     /* addresses, ports, protocol */
	SL_HASH_SOURCE,	     /* source address */
	SL_HASH_SOURCE_PORT, /* source address and port */
};
#define SL_SERVICE_HASH_SHIFT 2
#define SL_SERVICE_ORIGIN_HASH_SHIFT 4
#define SL_SERVICE_HASH_MASK 3u /* behind the shift */

struct sl_service {
	__u32 ring_base; /* index of the first slot, a multiple of SL_SLOTS_PER_LINE */
	__u32 ring_mask; /* slots - 1; slots is a power of two */
	__u32 id;
	__u32 flags; /* enum sl_service_flag, and two enum sl_slot_hash */
};
SL_ASSERT(sizeof(struct sl_service) == 16);

/* ---- ring, origin: flat arrays of slots, a cache line an element ---- */

#define SL_SLOTS_PER_LINE 16
#define SL_SLOT_TRACKED 0x80000000u /* top bit of a slot; the rest is a backend id, 0 for none */

struct sl_ring_line {
	__u32 slot[SL_SLOTS_PER_LINE];
};
SL_ASSERT(sizeof(struct sl_ring_line) == 64);

/* ---- backends: flat array by backend id, two cache lines an element ---- */

enum sl_backend_state {
	SL_BACKEND_UNSET,      /* no backend has this id: flows and origins that name it are void */
	SL_BACKEND_UP,	       /* takes packets */
	SL_BACKEND_UNRESOLVED, /* its next hop is not known: packets are dropped and counted */
	SL_BACKEND_UPDATING,   /* its header is being rewritten: the same, for milliseconds */
	SL_BACKEND_DOWN,       /* it keeps its id and takes no packets: flows and origins that name it are void */
};

#define SL_HEADER_CAPACITY 80
#define SL_HEADER_IPV4 34 /* Ethernet, IPv4 */
#define SL_HEADER_IPV6 54 /* Ethernet, IPv6 */

struct sl_backend {
	__u32 state;	  /* enum sl_backend_state */
	__u32 ifindex;	  /* the interface that packets to it leave by */
	__u16 mtu;	  /* bytes of the longest outer IP packet that the path takes */
	__u8 header_size; /* bytes of `header` in use: SL_HEADER_IPV4 or SL_HEADER_IPV6 */
	__u8 zero;
	__u16 checksum; /* IPv4: folded one's-complement sum of the outer header as it stands in `header` */
	__u16 zero2;
	/* What is put in front of the packet: Ethernet and outer IP header, with total length, checksum, TOS and
	 * identification zero. The destination MAC lies in one aligned 8-byte word (invariant 3).
	 */
	__u8 header[SL_HEADER_CAPACITY] __attribute__((aligned(8)));
	__u8 address[16]; /* the backend's own, IPv4 in the first four bytes: identity, not read per packet */
	__u32 service_id; /* whose backend this is; not read per packet */
	__u8 family;	  /* of address: 4 or 6 */
	__u8 zero3[11];
} __attribute__((aligned(64)));
SL_ASSERT(sizeof(struct sl_backend) == 128);
SL_ASSERT(SL_OFFSET(struct sl_backend, header) == 16);

/* ---- per-CPU arrays: backend_counters (by backend id), reason_counters (by enum sl_reason), flow_counters (by
 * enum sl_flow_event) ----
 */

struct sl_counter {
	__u64 packets;
	__u64 bytes; /* of frames as they came in */
};
SL_ASSERT(sizeof(struct sl_counter) == 16);

/* ---- The flow table, of flows of tracked slots and of SL_SERVICE_TRACK_ALL services alone: four maps of one shape.
 *
 * flows_tcp, flows_udp: LRU hashes. The first packet of a flow makes an entry here.
 * kept_tcp, kept_udp: plain hashes. A flow that speaks again, TCP with another packet than a SYN, moves here and stays
 * until the agent takes it out. So packets that never come twice (floods from random sources) can push out only each
 * other, and when these maps are full the LRU hashes still serve.
 * TCP and UDP are apart because with UDP, where every flow is tracked, anybody can fill them.
 * ----
 */

#define SL_FLOW_EVENT_ENUMERATOR(enumerator, name, text) enumerator,
enum sl_flow_event { SL_FLOW_EVENTS(SL_FLOW_EVENT_ENUMERATOR) SL_FLOW_EVENT_COUNT };
#undef SL_FLOW_EVENT_ENUMERATOR

struct sl_flow_key {
	__be32 source[4]; /* IPv4 in the first word, the rest zero */
	__be32 destination[4];
	__be16 source_port;
	__be16 destination_port;
	__u8 protocol;
	__u8 family; /* 4 or 6 */
	__u8 zero[2];
};
SL_ASSERT(sizeof(struct sl_flow_key) == 40);

struct sl_flow {
	__u32 backend;
	__u32 service_id;
	__u32 hash;   /* what its slot was chosen by when it was last seen: the slot is hash & ring_mask */
	__u32 closed; /* what of SL_CLOSED_* the client has sent */
	__u64 seen;   /* CLOCK_MONOTONIC nanoseconds; not more exact than sl_config.flow_seen_every */
};
SL_ASSERT(sizeof(struct sl_flow) == 24);

#define SL_FLOW_SYN_QUIET 5000000000ull	   /* ns; a SYN after such a pause is no repeated one but a new flow's */
#define SL_FLOW_UDP_IDLE 60000000000ull	   /* ns; a UDP flow that was silent for longer is over */
#define SL_FLOW_CLOSED_IDLE 10000000000ull /* ns; a closed TCP flow that was silent for longer counts no more */
#define SL_FLOW_HALF_CLOSED_IDLE 120000000000ull /* ns; but after FIN its server may think for so long */
#define SL_CLOSED_FIN 1
#define SL_CLOSED_RST 2

/* ---- fragments: LRU hash, what the first fragment of a packet tells of the others ---- */

struct sl_fragment_key {
	__be32 source[4]; /* as in sl_flow_key */
	__be32 destination[4];
	__be32 id;     /* IPv4: 16 bits, RFC 791 section 3.1; IPv6: RFC 8200 section 4.5 */
	__u8 protocol; /* IPv4's; IPv6 packets are told apart without it: 0 */
	__u8 family;   /* 4 or 6 */
	__u8 zero[2];
};
SL_ASSERT(sizeof(struct sl_fragment_key) == 40);

struct sl_fragment {
	__be16 source_port;
	__be16 destination_port;
	__u8 protocol;
	__u8 zero[3];
	__u64 seen; /* CLOCK_MONOTONIC nanoseconds */
};
SL_ASSERT(sizeof(struct sl_fragment) == 16);

#define SL_FRAGMENT_LIFE 30000000000ull /* ns; receivers wait no longer for the rest of a packet (Linux: 30 s) */

/* ---- configuration, read-only data set before load; what is off costs nothing ---- */

struct sl_config {
	__u64 hash_key[2];     /* made from the fleet's seed */
	__u64 flow_seen_every; /* ns; a hit rewrites a flow's `seen` only when it is older than this */
	__be64 entropy_mask6;  /* bits of the outer IPv6 source's low half that carry the flow's hash */
	__be32 entropy_mask4;  /* bits of the outer IPv4 source that do */
	__u32 zero;
};
SL_ASSERT(sizeof(struct sl_config) == 40);

/* ---- decap: the backend-side program ---- */

#define SL_REASON_ENUMERATOR(enumerator, name, text) enumerator,
enum sl_decap_reason { SL_DECAP_REASONS(SL_REASON_ENUMERATOR) SL_DECAP_REASON_COUNT };
#undef SL_REASON_ENUMERATOR

/* decap_addresses: hash map, the addresses of this host that tunnels may end at -> 1 */
struct sl_decap_address {
	__u8 address[16]; /* IPv4 in the first four bytes */
	__u32 family;	  /* 4 or 6 */
};
SL_ASSERT(sizeof(struct sl_decap_address) == 20);
