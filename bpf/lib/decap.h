/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
 *
 * The stages of the backend-side program. A packet that is not certainly a tunnel packet of ours is passed on
 * untouched; one that is and is broken is dropped.
 */
#pragma once

#include "checksum.h"
#include "packet.h"

/* RFC 3168 section 5 */
#define SL_ECN_MASK 0x03
#define SL_ECN_ECT1 0x01
#define SL_ECN_ECT0 0x02
#define SL_ECN_CE 0x03

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1024);
	__type(key, struct sl_decap_address);
	__type(value, __u32);
} decap_addresses SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, SL_DECAP_REASON_COUNT);
	__type(key, __u32);
	__type(value, struct sl_counter);
} decap_counters SEC(".maps");

struct sl_tunnel {
	struct sl_decap_address destination; /* outer */
	void *inner;
	void *data_end;
	__u32 frame_size;
	__u32 inner_size; /* bytes of the inner packet by the outer header's length */
	__u8 ecn;	  /* of the outer header */
	bool inner_is_v6;
};

SL_INLINE enum sl_decap_reason sl_tunnel_parse_ipv4(struct sl_tunnel *tunnel, struct iphdr *ip)
{
	__u32 header_size, total;

	if ((void *)(ip + 1) > tunnel->data_end)
		return SL_DECAP_NOT_TUNNEL;
	header_size = ip->ihl * 4;
	total = bpf_ntohs(ip->tot_len);
	if (ip->version != 4)
		return SL_DECAP_NOT_TUNNEL;
	if (ip->protocol != IPPROTO_IPIP && ip->protocol != IPPROTO_IPV6)
		return SL_DECAP_NOT_TUNNEL;
	/* Options and fragments are never ours; the kernel knows what to do with them. */
	if (header_size != sizeof(*ip) || ip->frag_off & bpf_htons(0x3fff))
		return SL_DECAP_NOT_TUNNEL;
	if (total < header_size || total > tunnel->data_end - (void *)ip)
		return SL_DECAP_NOT_TUNNEL;
	__builtin_memcpy(tunnel->destination.address, &ip->daddr, sizeof(ip->daddr));
	tunnel->destination.family = 4;
	tunnel->inner = ip + 1;
	tunnel->inner_size = total - header_size;
	tunnel->inner_is_v6 = ip->protocol == IPPROTO_IPV6;
	tunnel->ecn = ip->tos & SL_ECN_MASK;
	return SL_DECAP_DONE;
}

SL_INLINE enum sl_decap_reason sl_tunnel_parse_ipv6(struct sl_tunnel *tunnel, struct ipv6hdr *ip)
{
	if ((void *)(ip + 1) > tunnel->data_end)
		return SL_DECAP_NOT_TUNNEL;
	if (ip->version != 6 || (ip->nexthdr != IPPROTO_IPIP && ip->nexthdr != IPPROTO_IPV6))
		return SL_DECAP_NOT_TUNNEL;
	tunnel->inner_size = bpf_ntohs(ip->payload_len);
	if (tunnel->inner_size > tunnel->data_end - (void *)(ip + 1))
		return SL_DECAP_NOT_TUNNEL;
	__builtin_memcpy(tunnel->destination.address, &ip->daddr, sizeof(ip->daddr));
	tunnel->destination.family = 6;
	tunnel->inner = ip + 1;
	tunnel->inner_is_v6 = ip->nexthdr == IPPROTO_IPV6;
	tunnel->ecn = ip->flow_lbl[0] >> 4 & SL_ECN_MASK;
	return SL_DECAP_DONE;
}

SL_INLINE enum sl_decap_reason sl_tunnel_parse(struct xdp_md *ctx, struct sl_tunnel *tunnel)
{
	struct ethhdr *eth = (void *)(long)ctx->data;

	tunnel->data_end = (void *)(long)ctx->data_end;
	tunnel->frame_size = tunnel->data_end - (void *)eth;
	if ((void *)(eth + 1) > tunnel->data_end)
		return SL_DECAP_NOT_TUNNEL;
	if (eth->h_proto == bpf_htons(ETH_P_IP))
		return sl_tunnel_parse_ipv4(tunnel, (void *)(eth + 1));
	if (eth->h_proto == bpf_htons(ETH_P_IPV6))
		return sl_tunnel_parse_ipv6(tunnel, (void *)(eth + 1));
	return SL_DECAP_NOT_TUNNEL;
}

SL_INLINE enum sl_decap_reason sl_tunnel_is_ours(const struct sl_tunnel *tunnel)
{
	return bpf_map_lookup_elem(&decap_addresses, &tunnel->destination) ? SL_DECAP_DONE : SL_DECAP_NOT_OURS;
}

/* The inner packet's ECN field after the tunnel, RFC 6040 section 4.2 (figure 4), or SL_ECN_DROP. */
#define SL_ECN_DROP 0xff
SL_INLINE __u8 sl_ecn_after(__u8 outer, __u8 inner)
{
	if (outer == SL_ECN_CE)
		return inner ? SL_ECN_CE : SL_ECN_DROP;
	if (outer == SL_ECN_ECT1 && inner == SL_ECN_ECT0)
		return SL_ECN_ECT1;
	return inner;
}

/* The inner packet must be what the outer header says. */
SL_INLINE enum sl_decap_reason sl_tunnel_check_inner4(const struct sl_tunnel *tunnel)
{
	struct iphdr *ip = tunnel->inner;
	__u16 *first_word = tunnel->inner;
	__u32 header_size, total;
	__u16 before;
	__u8 ecn;

	if ((void *)(ip + 1) > tunnel->data_end)
		return SL_DECAP_MALFORMED;
	header_size = ip->ihl * 4;
	total = bpf_ntohs(ip->tot_len);
	if (ip->version != 4 || header_size < sizeof(*ip) || total < header_size || total > tunnel->inner_size)
		return SL_DECAP_MALFORMED;
	ecn = sl_ecn_after(tunnel->ecn, ip->tos & SL_ECN_MASK);
	if (ecn == SL_ECN_DROP)
		return SL_DECAP_CONGESTED;
	before = *first_word;
	ip->tos = (ip->tos & ~SL_ECN_MASK) | ecn;
	ip->check = sl_checksum_replace(ip->check, before, *first_word);
	return SL_DECAP_DONE;
}

SL_INLINE enum sl_decap_reason sl_tunnel_check_inner6(const struct sl_tunnel *tunnel)
{
	struct ipv6hdr *ip = tunnel->inner;
	__u8 ecn;

	if ((void *)(ip + 1) > tunnel->data_end)
		return SL_DECAP_MALFORMED;
	if (ip->version != 6 || bpf_ntohs(ip->payload_len) + sizeof(*ip) > tunnel->inner_size)
		return SL_DECAP_MALFORMED;
	/* The ECN field is bits 4 and 5 of the header's second byte (RFC 8200 section 3). */
	ecn = sl_ecn_after(tunnel->ecn, ip->flow_lbl[0] >> 4 & SL_ECN_MASK);
	if (ecn == SL_ECN_DROP)
		return SL_DECAP_CONGESTED;
	ip->flow_lbl[0] = (ip->flow_lbl[0] & ~(SL_ECN_MASK << 4)) | ecn << 4;
	return SL_DECAP_DONE;
}

SL_INLINE enum sl_decap_reason sl_tunnel_check_inner(const struct sl_tunnel *tunnel)
{
	return tunnel->inner_is_v6 ? sl_tunnel_check_inner6(tunnel) : sl_tunnel_check_inner4(tunnel);
}

/* Moves the Ethernet header to where the inner packet begins and cuts what is before it. `outer_size` is a constant
 * at each call.
 */
SL_INLINE enum sl_decap_reason sl_tunnel_cut(struct xdp_md *ctx, const struct sl_tunnel *tunnel, __u32 outer_size)
{
	struct ethhdr *from = (void *)(long)ctx->data;
	struct ethhdr *to = (void *)from + outer_size;
	struct ethhdr eth;

	if ((void *)(to + 1) > tunnel->data_end)
		return SL_DECAP_MALFORMED;
	__builtin_memcpy(&eth, from, sizeof(eth));
	eth.h_proto = tunnel->inner_is_v6 ? bpf_htons(ETH_P_IPV6) : bpf_htons(ETH_P_IP);
	__builtin_memcpy(to, &eth, sizeof(eth));
	return bpf_xdp_adjust_head(ctx, (int)outer_size) ? SL_DECAP_MALFORMED : SL_DECAP_DONE;
}

SL_INLINE enum sl_decap_reason sl_tunnel_strip(struct xdp_md *ctx, const struct sl_tunnel *tunnel)
{
	if (tunnel->destination.family == 6)
		return sl_tunnel_cut(ctx, tunnel, sizeof(struct ipv6hdr));
	return sl_tunnel_cut(ctx, tunnel, sizeof(struct iphdr));
}

SL_INLINE int sl_decap_verdict(const struct sl_tunnel *tunnel, enum sl_decap_reason reason)
{
	__u32 index = reason;
	struct sl_counter *counter = bpf_map_lookup_elem(&decap_counters, &index);

	if (counter) {
		counter->packets++;
		counter->bytes += tunnel->frame_size;
	}
	return reason == SL_DECAP_MALFORMED || reason == SL_DECAP_CONGESTED ? XDP_DROP : XDP_PASS;
}
