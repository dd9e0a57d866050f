/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
 *
 * The flow hash: 64 bits of (source, destination, ports, protocol) under a key, the same on every load balancer
 * that has the same seed. Multiply and xor-shift rounds; every input bit reaches every output bit. Ring slots
 * take its low bits, outer sources its high ones. Where a service asks for it slots take a hash of the source alone.
 */
#pragma once

#include "config.h"
#include "packet.h"

SL_INLINE __u64 sl_hash_round(__u64 state, __u64 word)
{
	state = (state ^ word) * 0x9e3779b97f4a7c15ull; /* 2^64 / golden ratio, odd */
	return state ^ state >> 32;
}

/* The fields are network order words taken as they lie in memory: all machines of a fleet hash alike only if
 * they have the same byte order.
 */
SL_INLINE __u64 sl_hash_flow(const struct sl_packet *packet)
{
	__u64 ports = (__u64)packet->source_port << 16 | packet->destination_port;
	__u64 state = sl_config.hash_key[0];

	state = sl_hash_round(state, (__u64)packet->source[0] << 32 | packet->destination[0]);
	if (packet->is_v6) {
		state = sl_hash_round(state, (__u64)packet->source[1] << 32 | packet->destination[1]);
		state = sl_hash_round(state, (__u64)packet->source[2] << 32 | packet->destination[2]);
		state = sl_hash_round(state, (__u64)packet->source[3] << 32 | packet->destination[3]);
	}
	state = sl_hash_round(state, (__u64)packet->protocol << 32 | ports);
	state = sl_hash_round(state, sl_config.hash_key[1]);
	return state;
}

/* The same source has the same hash at every service: those that have the same backends send a client to the same one.
 */
SL_INLINE __u64 sl_hash_source(const struct sl_packet *packet, __be16 port)
{
	__u64 state = sl_config.hash_key[0];

	state = sl_hash_round(state, (__u64)port << 32 | packet->source[0]);
	if (packet->is_v6) {
		state = sl_hash_round(state, (__u64)packet->source[1] << 32 | packet->source[2]);
		state = sl_hash_round(state, packet->source[3]);
	}
	return sl_hash_round(state, sl_config.hash_key[1]);
}

/* What chooses the packet's slot, by a service's enum sl_slot_hash. packet->hash is known. */
SL_INLINE __u32 sl_slot_hash(const struct sl_packet *packet, __u32 kind)
{
	switch (kind) {
	case SL_HASH_SOURCE:
		return (__u32)sl_hash_source(packet, 0);
	case SL_HASH_SOURCE_PORT:
		return (__u32)sl_hash_source(packet, packet->source_port);
	default:
		return (__u32)packet->hash;
	}
}
