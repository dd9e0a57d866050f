/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
 *
 * Stage 5, for packets that do not fit: the sender is told how long they may be, in the VIP's name, so that its path MTU
 * discovery works (RFC 1191, RFC 8201). The packet itself becomes the answer: cut, headers in front, sent back.
 *
 * Not told, and dropped: senders of IPv4 packets without DF, which expect a router to cut them; senders of ICMP errors
 * (RFC 1122 section 3.2.2, RFC 4443 section 2.4); and those of packets that are shorter than the quote.
 */
#pragma once

#include "checksum.h"
#include "packet.h"

#define SL_QUOTE                                                                                                   \
	512 /* bytes of the packet that are sent back; bpf_csum_diff() takes no more at once before Linux 6.13 */
#define SL_ICMP4_FRAGMENTATION_NEEDED 4 /* code of type 3 */
#define SL_ICMP6_PACKET_TOO_BIG 2
#define SL_IPV4_MINIMUM_MTU 68	 /* RFC 791 section 3.2 */
#define SL_IPV6_MINIMUM_MTU 1280 /* RFC 8200 section 5 */

struct sl_too_big4 {
	struct ethhdr eth;
	struct iphdr ip;
	__u8 type, code;
	__sum16 check;
	__be16 unused, mtu; /* RFC 1191 section 4 */
	__u8 quote[SL_QUOTE];
} __attribute__((packed));

struct sl_too_big6 {
	struct ethhdr eth;
	struct ipv6hdr ip;
	__u8 type, code;
	__sum16 check;
	__be32 mtu; /* RFC 4443 section 3.2 */
	__u8 quote[SL_QUOTE];
} __attribute__((packed));

/* Leaves of the frame what is quoted, behind room for `headers` bytes. Returns the frame, or NULL. */
SL_INLINE void *sl_make_answer(struct xdp_md *ctx, const struct sl_packet *packet, __u32 headers, __u32 size)
{
	__u32 kept = sizeof(struct ethhdr) + SL_QUOTE;

	if (bpf_xdp_adjust_tail(ctx, (int)kept - (int)packet->frame_size))
		return NULL;
	if (bpf_xdp_adjust_head(ctx, (int)sizeof(struct ethhdr) - (int)headers))
		return NULL;
	if ((void *)(long)ctx->data + size > (void *)(long)ctx->data_end)
		return NULL;
	return (void *)(long)ctx->data;
}

SL_INLINE void sl_turn_round(struct ethhdr *eth, const struct ethhdr *from)
{
	__builtin_memcpy(eth->h_dest, from->h_source, ETH_ALEN);
	__builtin_memcpy(eth->h_source, from->h_dest, ETH_ALEN);
	eth->h_proto = from->h_proto;
}

SL_INLINE __sum16 sl_icmp_checksum(const void *quote, __u64 sum)
{
	return (__u16)~sl_checksum_fold(sum + bpf_csum_diff(NULL, 0, (__be32 *)quote, SL_QUOTE, 0));
}

SL_INLINE enum sl_reason sl_answer_too_big4(struct xdp_md *ctx, const struct sl_packet *packet,
					    const struct ethhdr *eth, __u32 mtu)
{
	const __u32 l3 = sizeof(struct sl_too_big4) - sizeof(struct ethhdr);
	struct sl_too_big4 *answer = sl_make_answer(ctx, packet, sizeof(*answer) - SL_QUOTE, sizeof(*answer));
	__u64 sum;

	if (!answer || (void *)(answer + 1) > (void *)(long)ctx->data_end)
		return SL_DROP_NO_HEADROOM;
	sl_turn_round(&answer->eth, eth);
	__builtin_memset(&answer->ip, 0, sizeof(answer->ip));
	answer->ip.version = 4;
	answer->ip.ihl = 5;
	answer->ip.tot_len = bpf_htons(l3);
	answer->ip.frag_off = bpf_htons(0x4000);
	answer->ip.ttl = 64;
	answer->ip.protocol = IPPROTO_ICMP;
	answer->ip.saddr = packet->destination[0];
	answer->ip.daddr = packet->source[0];
	sum = bpf_csum_diff(NULL, 0, (__be32 *)&answer->ip, sizeof(answer->ip), 0);
	answer->ip.check = (__u16)~sl_checksum_fold(sum);
	answer->type = SL_ICMP4_UNREACHABLE;
	answer->code = SL_ICMP4_FRAGMENTATION_NEEDED;
	answer->unused = 0;
	answer->mtu = bpf_htons((__u16)mtu);
	sum = bpf_htons(SL_ICMP4_UNREACHABLE << 8 | SL_ICMP4_FRAGMENTATION_NEEDED) + (__u64)answer->mtu;
	answer->check = sl_icmp_checksum(answer->quote, sum);
	return SL_ANSWER_TOO_BIG;
}

/* The checksum is over a pseudo-header, too (RFC 8200 section 8.1), whose addresses are the real header's. */
SL_INLINE enum sl_reason sl_answer_too_big6(struct xdp_md *ctx, const struct sl_packet *packet,
					    const struct ethhdr *eth, __u32 mtu)
{
	const __u32 payload = sizeof(struct sl_too_big6) - sizeof(struct ethhdr) - sizeof(struct ipv6hdr);
	struct sl_too_big6 *answer = sl_make_answer(ctx, packet, sizeof(*answer) - SL_QUOTE, sizeof(*answer));
	__u64 sum;

	if (!answer || (void *)(answer + 1) > (void *)(long)ctx->data_end)
		return SL_DROP_NO_HEADROOM;
	sl_turn_round(&answer->eth, eth);
	__builtin_memset(&answer->ip, 0, sizeof(answer->ip));
	answer->ip.version = 6;
	answer->ip.payload_len = bpf_htons(payload);
	answer->ip.nexthdr = IPPROTO_ICMPV6;
	answer->ip.hop_limit = 64;
	__builtin_memcpy(&answer->ip.saddr, packet->destination, sizeof(answer->ip.saddr));
	__builtin_memcpy(&answer->ip.daddr, packet->source, sizeof(answer->ip.daddr));
	answer->type = SL_ICMP6_PACKET_TOO_BIG;
	answer->code = 0;
	answer->mtu = bpf_htonl(mtu < SL_IPV6_MINIMUM_MTU ? SL_IPV6_MINIMUM_MTU : mtu);
	sum = bpf_csum_diff(NULL, 0, (__be32 *)packet->destination, sizeof(packet->destination), 0);
	sum += bpf_csum_diff(NULL, 0, (__be32 *)packet->source, sizeof(packet->source), 0);
	sum += bpf_htons(payload) + (__u64)bpf_htons(IPPROTO_ICMPV6);
	sum += bpf_htons(SL_ICMP6_PACKET_TOO_BIG << 8);
	sum += (answer->mtu & 0xffff) + (answer->mtu >> 16);
	answer->check = sl_icmp_checksum(answer->quote, sum);
	return SL_ANSWER_TOO_BIG;
}

SL_INLINE enum sl_reason sl_answer_too_big(struct xdp_md *ctx, const struct sl_packet *packet)
{
	__u32 outer = packet->backend->header_size - sizeof(struct ethhdr);
	const struct ethhdr *here = (void *)(long)ctx->data;
	struct ethhdr eth;

	if (packet->is_error || packet->l3_size < SL_QUOTE || (!packet->is_v6 && !packet->dont_fragment))
		return SL_DROP_TOO_BIG;
	if ((void *)(here + 1) > (void *)(long)ctx->data_end || packet->backend->mtu < outer + SL_IPV4_MINIMUM_MTU)
		return SL_DROP_TOO_BIG;
	eth = *here;
	if (packet->is_v6)
		return sl_answer_too_big6(ctx, packet, &eth, packet->backend->mtu - outer);
	return sl_answer_too_big4(ctx, packet, &eth, packet->backend->mtu - outer);
}
