/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
 *
 * Stage 3: which of the service's backends? A stable slot of the ring names it and no state is touched; a slot
 * that a change moved is tracked, and there the flow table decides.
 */
#pragma once

#include "flow.h"
#include "hash.h"

/* Whichever hash chose slots when the flows began that the origins are for. */
SL_INLINE __u32 sl_origin_of(const struct sl_packet *packet)
{
	const struct sl_service *service = packet->service;
	__u32 kind = service->flags >> SL_SERVICE_ORIGIN_HASH_SHIFT & SL_SERVICE_HASH_MASK;
	__u32 index = service->ring_base + (sl_slot_hash(packet, kind) & service->ring_mask);
	__u32 line = index / SL_SLOTS_PER_LINE;
	const struct sl_ring_line *origins = bpf_map_lookup_elem(&origin, &line);

	return origins ? origins->slot[index % SL_SLOTS_PER_LINE] : 0;
}

SL_INLINE __u32 sl_backend_of(const struct sl_packet *packet, __u32 slot)
{
	__u32 flags = packet->service->flags;
	__u32 current = slot & ~SL_SLOT_TRACKED;

	if (slot & SL_SLOT_TRACKED && !(flags & SL_SERVICE_TRACK_NONE))
		return sl_flow_backend(packet, current, sl_origin_of(packet));
	if (flags & SL_SERVICE_TRACK_ALL)
		return sl_flow_backend(packet, current, current);
	return current;
}

SL_INLINE enum sl_reason sl_select(struct sl_packet *packet)
{
	const struct sl_service *service = packet->service;
	const struct sl_ring_line *slots;
	__u32 index, line, slot;

	packet->hash = sl_hash_flow(packet);
	packet->slot_hash = sl_slot_hash(packet, service->flags >> SL_SERVICE_HASH_SHIFT & SL_SERVICE_HASH_MASK);
	index = service->ring_base + (packet->slot_hash & service->ring_mask);
	line = index / SL_SLOTS_PER_LINE;
	slots = bpf_map_lookup_elem(&ring, &line);
	if (!slots)
		return SL_DROP_BROKEN_TABLE;
	slot = slots->slot[index % SL_SLOTS_PER_LINE];
	packet->backend_id = sl_backend_of(packet, slot);
	if (!packet->backend_id)
		return SL_DROP_NO_BACKEND;

	packet->backend = bpf_map_lookup_elem(&backends, &packet->backend_id);
	if (!packet->backend)
		return SL_DROP_BROKEN_TABLE;
	switch (packet->backend->state) {
	case SL_BACKEND_UP:
		return SL_OK;
	case SL_BACKEND_UNRESOLVED:
		return SL_DROP_UNRESOLVED;
	case SL_BACKEND_UPDATING:
		return SL_DROP_UPDATING;
	default:
		return SL_DROP_NO_BACKEND;
	}
}
