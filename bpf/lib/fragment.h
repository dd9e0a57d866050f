/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
 *
 * Fragments: only a packet's first one has ports, so it teaches them to a small table, where the later ones find them. Those
 * that come before it cannot be held back here: they are orphans. Around the service stage: what a first fragment says is
 * written down only if it is a service's.
 */
#pragma once

#include "hash.h"
#include "maps.h"
#include "packet.h"

SL_INLINE void sl_fragment_key(const struct sl_packet *packet, struct sl_fragment_key *key)
{
	__builtin_memset(key, 0, sizeof(*key));
	key->source[0] = packet->source[0];
	key->destination[0] = packet->destination[0];
	if (packet->is_v6) {
		__builtin_memcpy(key->source, packet->source, sizeof(key->source));
		__builtin_memcpy(key->destination, packet->destination, sizeof(key->destination));
	}
	key->id = packet->fragment_id;
	key->protocol = packet->is_v6 ? 0 : packet->protocol;
	key->family = packet->is_v6 ? 6 : 4;
}

SL_INLINE void sl_learn_fragment(const struct sl_packet *packet)
{
	struct sl_fragment_key key;
	struct sl_fragment first = {
		.source_port = packet->source_port,
		.destination_port = packet->destination_port,
		.protocol = packet->protocol,
		.seen = bpf_ktime_get_ns(),
	};

	sl_fragment_key(packet, &key);
	bpf_map_update_elem(&fragments, &key, &first, BPF_ANY);
}

SL_INLINE void sl_recall_fragment(struct sl_packet *packet)
{
	const struct sl_fragment *first;
	struct sl_fragment_key key;

	sl_fragment_key(packet, &key);
	first = bpf_map_lookup_elem(&fragments, &key);
	if (!first || (__s64)(bpf_ktime_get_ns() - first->seen) > (__s64)SL_FRAGMENT_LIFE) {
		packet->fragment = SL_ORPHAN_FRAGMENT;
		return;
	}
	packet->source_port = first->source_port;
	packet->destination_port = first->destination_port;
	packet->protocol = first->protocol;
}

/* An orphan's service is known where it takes any port, and its backend where that depends on no port. */
SL_INLINE enum sl_reason sl_check_orphan(const struct sl_packet *packet, enum sl_reason found)
{
	if (found != SL_OK)
		return SL_PASS_ORPHAN;
	return (packet->service->flags >> SL_SERVICE_HASH_SHIFT & SL_SERVICE_HASH_MASK) == SL_HASH_SOURCE
		       ? SL_OK
		       : SL_PASS_ORPHAN;
}

SL_INLINE enum sl_reason sl_find_service_of_fragment(struct sl_packet *packet)
{
	enum sl_reason reason;

	if (packet->fragment == SL_LATER_FRAGMENT)
		sl_recall_fragment(packet);
	reason = sl_find_service(packet);
	if (packet->fragment == SL_ORPHAN_FRAGMENT)
		return sl_check_orphan(packet, reason);
	if (reason == SL_OK && packet->fragment == SL_FIRST_FRAGMENT)
		sl_learn_fragment(packet);
	return reason;
}
