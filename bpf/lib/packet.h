/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
 *
 * The packet descriptor: what the stages learn about a packet and hand on. It lives in registers and on the
 * stack; a field is valid from the stage on that its comment names.
 */
#pragma once

#include <stdbool.h>

#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/tcp.h>
#include <linux/udp.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "../abi.h"

#define SL_INLINE static __always_inline

enum sl_fragment_place {
	SL_NO_FRAGMENT,
	SL_FIRST_FRAGMENT,
	SL_LATER_FRAGMENT,  /* has no ports */
	SL_ORPHAN_FRAGMENT, /* a later one whose first was not seen */
};

struct sl_packet {
	/* parse */
	void *data;
	void *data_end;
	__u32 frame_size; /* bytes of the frame as it came in */
	__u32 l3_size;	  /* bytes of the IP packet by its own header; the frame may be longer (padding) */
	__be32 source[4]; /* IPv4 in the first word */
	__be32 destination[4];
	__be16 source_port;
	__be16 destination_port;
	__be16 dont_fragment;  /* IPv4's DF bit in its place in the header, or 0 */
	__be16 identification; /* IPv4's */
	__u8 protocol;
	__u8 traffic_class; /* DSCP and ECN */
	bool is_v6;
	bool opens_flow;  /* TCP with SYN and without ACK */
	__u8 closes_flow; /* SL_CLOSED_FIN, SL_CLOSED_RST or 0 */
	bool is_error;	  /* an ICMP error: addresses, ports and protocol are those of the flow that it quotes */
	__u8 fragment;	  /* enum sl_fragment_place */
	__be32 fragment_id;
	__be32 flow_label; /* IPv6's, in its place in the first word of the header */

	/* service */
	struct sl_service *service;

	/* select */
	__u64 hash;	 /* of the flow */
	__u32 slot_hash; /* the slot is slot_hash & ring_mask */
	__u32 backend_id;
	struct sl_backend *backend;
};
