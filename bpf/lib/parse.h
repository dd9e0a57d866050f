/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
 *
 * Stage 1: frame -> descriptor. Nothing is written to the packet, and what we do not understand is left to the
 * kernel.
 */
#pragma once

#include "icmp.h"
#include "packet.h"
#include "transport.h"

#define SL_IPV4_DF bpf_htons(0x4000)
#define SL_IPV4_MORE bpf_htons(0x2000)		 /* RFC 791 section 3.1 */
#define SL_IPV6_FLOW_LABEL bpf_htonl(0x000fffff) /* RFC 8200 section 3 */

/* Of a fragmented packet only TCP and UDP are followed; a later fragment's ports are another stage's to find. */
SL_INLINE enum sl_reason sl_parse_transport(struct sl_packet *packet, const struct sl_next *next)
{
	packet->fragment = next->fragment;
	packet->fragment_id = next->fragment_id;
	if (next->fragment == SL_LATER_FRAGMENT) {
		if (!packet->is_v6 && next->protocol != IPPROTO_TCP && next->protocol != IPPROTO_UDP)
			return SL_PASS_FRAGMENT;
		packet->protocol = next->protocol;
		return SL_OK;
	}
	if (next->protocol != (packet->is_v6 ? IPPROTO_ICMPV6 : IPPROTO_ICMP))
		return sl_parse_ports(packet, next);
	if (next->fragment)
		return SL_PASS_FRAGMENT;
	return packet->is_v6 ? sl_parse_icmp6(packet, next) : sl_parse_icmp4(packet, next);
}

SL_INLINE enum sl_reason sl_parse_ipv4(struct sl_packet *packet, struct iphdr *ip)
{
	struct sl_next next = {};
	__u32 header_size, room;

	if ((void *)(ip + 1) > packet->data_end)
		return SL_PASS_MALFORMED;
	header_size = ip->ihl * 4;
	room = packet->data_end - (void *)ip;
	packet->l3_size = bpf_ntohs(ip->tot_len);
	if (ip->version != 4 || header_size < sizeof(*ip) || packet->l3_size < header_size ||
	    packet->l3_size > room)
		return SL_PASS_MALFORMED;

	packet->is_v6 = false;
	packet->source[0] = ip->saddr;
	packet->destination[0] = ip->daddr;
	packet->traffic_class = ip->tos;
	packet->dont_fragment = ip->frag_off & SL_IPV4_DF;
	packet->identification = ip->id;
	next.at = (void *)ip + header_size;
	next.size = packet->l3_size - header_size;
	next.protocol = ip->protocol;
	if (ip->frag_off & SL_IPV4_OFFSET_MASK)
		next.fragment = SL_LATER_FRAGMENT;
	else if (ip->frag_off & SL_IPV4_MORE)
		next.fragment = SL_FIRST_FRAGMENT;
	next.fragment_id = ip->id;
	return sl_parse_transport(packet, &next);
}

SL_INLINE enum sl_reason sl_parse_ipv6(struct sl_packet *packet, struct ipv6hdr *ip)
{
	enum sl_reason reason;
	struct sl_next next = {};
	__u32 payload, room;

	if ((void *)(ip + 1) > packet->data_end)
		return SL_PASS_MALFORMED;
	payload = bpf_ntohs(ip->payload_len);
	room = packet->data_end - (void *)(ip + 1);
	if (ip->version != 6 || payload > room)
		return SL_PASS_MALFORMED;

	packet->is_v6 = true;
	packet->l3_size = sizeof(*ip) + payload;
	__builtin_memcpy(packet->source, &ip->saddr, sizeof(packet->source));
	__builtin_memcpy(packet->destination, &ip->daddr, sizeof(packet->destination));
	packet->traffic_class = (__u8)(ip->priority << 4 | ip->flow_lbl[0] >> 4);
	packet->flow_label = *(__be32 *)ip & SL_IPV6_FLOW_LABEL;
	next.at = ip + 1;
	next.size = payload;
	next.protocol = ip->nexthdr;
	reason = sl_skip_extensions(packet, &next);
	if (reason != SL_OK)
		return reason;
	return sl_parse_transport(packet, &next);
}

SL_INLINE enum sl_reason sl_parse(struct xdp_md *ctx, struct sl_packet *packet)
{
	struct ethhdr *eth = (void *)(long)ctx->data;

	packet->data = eth;
	packet->data_end = (void *)(long)ctx->data_end;
	packet->frame_size = packet->data_end - packet->data;
	if ((void *)(eth + 1) > packet->data_end)
		return SL_PASS_MALFORMED;
	if (eth->h_proto != bpf_htons(ETH_P_IP) && eth->h_proto != bpf_htons(ETH_P_IPV6))
		return SL_PASS_NOT_IP;
	if (eth->h_dest[0] & 1)
		return SL_PASS_GROUP;
	if (eth->h_proto == bpf_htons(ETH_P_IP))
		return sl_parse_ipv4(packet, (void *)(eth + 1));
	return sl_parse_ipv6(packet, (void *)(eth + 1));
}
