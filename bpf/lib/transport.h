/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
 *
 * What stands behind the IP header: IPv6 extension headers, which are stepped over, and the ports.
 */
#pragma once

#include "packet.h"

#define SL_TCP_FLAGS_OFFSET 13
#define SL_TCP_FIN 0x01
#define SL_TCP_SYN 0x02
#define SL_TCP_RST 0x04
#define SL_TCP_ACK 0x10

#define SL_IPV6_EXTENSIONS 6	/* headers; RFC 8200 section 4.1 recommends each at most once, one twice */
#define SL_IPV6_SEGMENTS_LEFT 3 /* offset in a routing header, RFC 8200 section 4.4 */
#define SL_IPV6_FRAGMENT_OFFSET bpf_htons(0xfff8) /* RFC 8200 section 4.5 */
#define SL_IPV6_FRAGMENT_MORE bpf_htons(0x0001)

/* Where a header begins, as far as it is known. */
struct sl_next {
	void *at;
	__u32 size; /* bytes from there to the packet's end by its own lengths */
	__u8 protocol;
	__u8 fragment; /* enum sl_fragment_place; a later one has nothing of what follows */
	__be32 fragment_id;
};

/* A whole packet may have a fragment header, too (RFC 6946). */
SL_INLINE void sl_note_fragment(struct sl_next *next, const __u8 *header)
{
	__be16 offset_and_more = *(const __be16 *)(header + 2);

	if (offset_and_more & SL_IPV6_FRAGMENT_OFFSET)
		next->fragment = SL_LATER_FRAGMENT;
	else if (offset_and_more & SL_IPV6_FRAGMENT_MORE)
		next->fragment = SL_FIRST_FRAGMENT;
	next->fragment_id = *(const __be32 *)(header + 4);
}

/* Steps over one extension header; *more becomes false where there is none. */
SL_INLINE enum sl_reason sl_skip_extension(const struct sl_packet *packet, struct sl_next *next, bool *more)
{
	const __u8 *header = next->at;
	__u32 size = 8;

	if (next->protocol != IPPROTO_HOPOPTS && next->protocol != IPPROTO_ROUTING &&
	    next->protocol != IPPROTO_DSTOPTS && next->protocol != IPPROTO_FRAGMENT) {
		*more = false;
		return SL_OK;
	}
	if (header + size > (const __u8 *)packet->data_end)
		return SL_PASS_MALFORMED;
	if (next->protocol == IPPROTO_FRAGMENT) {
		sl_note_fragment(next, header);
	} else {
		if (next->protocol == IPPROTO_ROUTING && header[SL_IPV6_SEGMENTS_LEFT])
			return SL_PASS_EXTENSIONS;
		size = (header[1] + 1) * 8;
	}
	if (size > next->size)
		return SL_PASS_MALFORMED;
	next->protocol = header[0];
	next->at += size;
	next->size -= size;
	*more = next->fragment != SL_LATER_FRAGMENT;
	return SL_OK;
}

SL_INLINE enum sl_reason sl_skip_extensions(const struct sl_packet *packet, struct sl_next *next)
{
	enum sl_reason reason;
	bool more = true;

#pragma unroll
	for (int i = 0; i <= SL_IPV6_EXTENSIONS; i++) {
		reason = sl_skip_extension(packet, next, &more);
		if (reason != SL_OK || !more)
			return reason;
	}
	return SL_PASS_EXTENSIONS;
}

/* Reads ports, and TCP's flags. The ports stand first in both protocols (RFC 9293 section 3.1, RFC 768). */
SL_INLINE enum sl_reason sl_parse_ports(struct sl_packet *packet, const struct sl_next *next)
{
	const __be16 *ports = next->at;
	const __u8 *bytes = next->at;

	if (next->protocol == IPPROTO_TCP) {
		if (next->size < sizeof(struct tcphdr) || bytes + sizeof(struct tcphdr) > (__u8 *)packet->data_end)
			return SL_PASS_MALFORMED;
		packet->opens_flow = (bytes[SL_TCP_FLAGS_OFFSET] & (SL_TCP_SYN | SL_TCP_ACK)) == SL_TCP_SYN;
		packet->closes_flow = bytes[SL_TCP_FLAGS_OFFSET] & SL_TCP_RST	? SL_CLOSED_RST
				      : bytes[SL_TCP_FLAGS_OFFSET] & SL_TCP_FIN ? SL_CLOSED_FIN
										: 0;
	} else if (next->protocol == IPPROTO_UDP) {
		if (next->size < sizeof(struct udphdr) || bytes + sizeof(struct udphdr) > (__u8 *)packet->data_end)
			return SL_PASS_MALFORMED;
	} else {
		return SL_PASS_NOT_TCP_UDP;
	}
	packet->protocol = next->protocol;
	packet->source_port = ports[0];
	packet->destination_port = ports[1];
	return SL_OK;
}
