/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
 *
 * Stage 4: put the backend's prebuilt header in front of the packet and fill in what differs from packet to
 * packet: lengths, the copied traffic class, the flow's entropy, IPv4's identification and checksum.
 */
#pragma once

#include "checksum.h"
#include "config.h"
#include "packet.h"

/* Copies `size` bytes (a constant) in words; both sides may be unaligned at 2. */
SL_INLINE void sl_copy_header(void *to, const void *from, __u32 size)
{
	__u32 at = 0;

#pragma unroll
	for (; at + 8 <= size; at += 8)
		*(__u64 *)(to + at) = *(const __u64 *)(from + at);
	if (at + 4 <= size) {
		*(__u32 *)(to + at) = *(const __u32 *)(from + at);
		at += 4;
	}
	if (at + 2 <= size)
		*(__u16 *)(to + at) = *(const __u16 *)(from + at);
}

/* Outer IPv4 (RFC 2003 section 3.1). DF is copied from an inner IPv4 packet and set for an inner IPv6 one, whose
 * sender expects "packet too big" instead of fragments. Only a packet without DF may be fragmented on its way,
 * so only there the identification must tell packets apart (RFC 6864 section 4.1).
 */
SL_INLINE void sl_finish_ipv4(const struct sl_packet *packet, struct iphdr *ip)
{
	__u32 length = packet->l3_size + sizeof(*ip);
	__be16 fragment = packet->is_v6 ? bpf_htons(0x4000) : packet->dont_fragment;
	__be16 identification = fragment ? 0 : packet->identification ^ (__u16)(packet->hash >> 16);
	__be32 entropy = (__be32)(packet->hash >> 32) & sl_config.entropy_mask4;
	__be32 prebuilt;
	__u64 sum = packet->backend->checksum;

	ip->tos = packet->traffic_class;
	ip->tot_len = bpf_htons((__u16)length);
	ip->id = identification;
	ip->frag_off = fragment;
	sum += bpf_htons(packet->traffic_class);
	sum += ip->tot_len;
	sum += identification;
	sum += fragment;
	if (sl_config.entropy_mask4) {
		prebuilt = ip->saddr;
		ip->saddr |= entropy;
		sum += (~prebuilt & 0xffff) + (~prebuilt >> 16);
		sum += (ip->saddr & 0xffff) + (ip->saddr >> 16);
	}
	ip->check = (__u16)~sl_checksum_fold(sum);
}

/* Outer IPv6 (RFC 2473 section 5). The flow label is the inner packet's, or made from the hash where that has
 * none (RFC 6438 section 3), never zero.
 */
SL_INLINE void sl_finish_ipv6(const struct sl_packet *packet, struct ipv6hdr *ip)
{
	__u32 label = (__u32)(packet->hash >> 44) | 1;
	__be32 flow_label = packet->is_v6 && packet->flow_label ? packet->flow_label : bpf_htonl(label);

	*(__be32 *)ip = bpf_htonl(0x60000000u | (__u32)packet->traffic_class << 20) | flow_label;
	ip->payload_len = bpf_htons((__u16)packet->l3_size);
	if (sl_config.entropy_mask6)
		*(__be64 *)&ip->saddr.s6_addr32[2] |= packet->hash & sl_config.entropy_mask6;
}

/* Makes room so that the backend's header of `size` bytes ends where the packet's IP header begins, and copies it
 * in. Returns the outer IP header, or NULL where the driver left no headroom.
 */
SL_INLINE void *sl_push_header(struct xdp_md *ctx, struct sl_packet *packet, __u32 size)
{
	if (bpf_xdp_adjust_head(ctx, (int)sizeof(struct ethhdr) - (int)size))
		return NULL;
	packet->data = (void *)(long)ctx->data;
	packet->data_end = (void *)(long)ctx->data_end;
	if (packet->data + size > packet->data_end)
		return NULL;
	sl_copy_header(packet->data, packet->backend->header, size);
	return packet->data + sizeof(struct ethhdr);
}

SL_INLINE enum sl_reason sl_encapsulate(struct xdp_md *ctx, struct sl_packet *packet)
{
	__u32 size = packet->backend->header_size;
	void *outer;

	if (packet->l3_size + size - sizeof(struct ethhdr) > packet->backend->mtu)
		return SL_DROP_TOO_BIG;
	if (size == SL_HEADER_IPV4) {
		outer = sl_push_header(ctx, packet, SL_HEADER_IPV4);
		if (!outer)
			return SL_DROP_NO_HEADROOM;
		sl_finish_ipv4(packet, outer);
		return SL_OK;
	}
	if (size == SL_HEADER_IPV6) {
		outer = sl_push_header(ctx, packet, SL_HEADER_IPV6);
		if (!outer)
			return SL_DROP_NO_HEADROOM;
		sl_finish_ipv6(packet, outer);
		return SL_OK;
	}
	return SL_DROP_BROKEN_TABLE;
}
