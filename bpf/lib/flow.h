/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
 *
 * The flow table: which backend a tracked flow was given. Only packets of tracked slots and of services that
 * track every flow come here.
 */
#pragma once

#include "config.h"
#include "count.h"
#include "maps.h"
#include "packet.h"

SL_INLINE void sl_flow_key(const struct sl_packet *packet, struct sl_flow_key *key)
{
	__builtin_memset(key, 0, sizeof(*key));
	key->source[0] = packet->source[0];
	key->destination[0] = packet->destination[0];
	if (packet->is_v6) {
		__builtin_memcpy(key->source, packet->source, sizeof(key->source));
		__builtin_memcpy(key->destination, packet->destination, sizeof(key->destination));
	}
	key->source_port = packet->source_port;
	key->destination_port = packet->destination_port;
	key->protocol = packet->protocol;
	key->family = packet->is_v6 ? 6 : 4;
}

SL_INLINE bool sl_backend_is_alive(__u32 id)
{
	const struct sl_backend *backend = bpf_map_lookup_elem(&backends, &id);

	return id && backend && backend->state != SL_BACKEND_UNSET && backend->state != SL_BACKEND_DOWN;
}

/* Whether the entry still speaks for this packet's flow: it is the same service's, its backend lives, and it was not
 * silent for too long. UDP has no FIN: a port that is used again after the pause is another flow's. So is a TCP
 * port's whose flow was closed, or whose SYN is no repeated one, and it must not go where new flows do not.
 */
SL_INLINE bool sl_flow_holds(const struct sl_packet *packet, const struct sl_flow *flow, __u64 now, __u32 current)
{
	__s64 silent = (__s64)(now - flow->seen); /* below zero when another CPU has just seen the flow */

	if (flow->service_id != packet->service->id)
		return false;
	if (packet->protocol == IPPROTO_UDP && silent > (__s64)SL_FLOW_UDP_IDLE)
		return false;
	if (packet->opens_flow && flow->closed)
		return false;
	if (packet->opens_flow && flow->backend != current && silent > (__s64)SL_FLOW_SYN_QUIET)
		return false;
	return sl_backend_is_alive(flow->backend);
}

/* Notes that the flow has spoken, in an entry that holds. It is written to only now and then, for a line that CPUs write
 * to costs them all. A change of the service's hash gives a flow another slot.
 */
SL_INLINE void sl_flow_heard(const struct sl_packet *packet, struct sl_flow *flow, __u64 now)
{
	bool is_old = (__s64)(now - flow->seen) > (__s64)sl_config.flow_seen_every;

	if (!is_old && flow->closed >= packet->closes_flow)
		return;
	flow->seen = now;
	flow->hash = packet->slot_hash;
	flow->closed |= packet->closes_flow;
}

/* The backend of a tracked flow. A hit wins while it holds. On a miss, a packet that opens a flow goes to `current`;
 * any other belongs to a flow older than the change and goes to `origin`. The decision is written down in `first`, and
 * when the flow speaks again in `kept`. An ICMP error goes where its flow is and leaves no trace: anybody can send one.
 */
SL_INLINE __u32 sl_flow_backend_in(void *kept, void *first, const struct sl_packet *packet, __u32 current,
				   __u32 origin)
{
	__u64 now = bpf_ktime_get_ns();
	struct sl_flow_key key;
	struct sl_flow *known, *learned;
	struct sl_flow flow = {
		.service_id = packet->service->id,
		.hash = packet->slot_hash,
		.closed = packet->closes_flow,
		.seen = now,
	};

	sl_count(&flow_counters, SL_FLOW_ASKED, packet);
	sl_flow_key(packet, &key);
	known = bpf_map_lookup_elem(kept, &key);
	if (known && sl_flow_holds(packet, known, now, current)) {
		if (!packet->is_error)
			sl_flow_heard(packet, known, now);
		return known->backend;
	}
	learned = bpf_map_lookup_elem(first, &key);
	if (learned && sl_flow_holds(packet, learned, now, current)) {
		flow.backend = learned->backend;
		if (packet->is_error)
			return flow.backend;
		flow.closed |= learned->closed;
		if (packet->opens_flow) {
			sl_flow_heard(packet, learned, now);
		} else if (bpf_map_update_elem(kept, &key, &flow, BPF_ANY)) {
			sl_flow_heard(packet, learned, now);
			sl_count(&flow_counters, SL_FLOW_FULL, packet);
		} else {
			bpf_map_delete_elem(first, &key);
			sl_count(&flow_counters, SL_FLOW_KEPT, packet);
		}
		return flow.backend;
	}
	/* Between the two another CPU may have moved the flow from `first` to `kept`. */
	known = bpf_map_lookup_elem(kept, &key);
	if (known && sl_flow_holds(packet, known, now, current))
		return known->backend;
	flow.backend = !packet->opens_flow && sl_backend_is_alive(origin) ? origin : current;
	if (!flow.backend || packet->is_error)
		return flow.backend;
	if (known) /* it would hide what `first` says */
		bpf_map_update_elem(kept, &key, &flow, BPF_EXIST);
	else if (bpf_map_update_elem(first, &key, &flow, BPF_ANY))
		sl_count(&flow_counters, SL_FLOW_FULL, packet);
	else
		sl_count(&flow_counters, SL_FLOW_LEARNED, packet);
	return flow.backend;
}

SL_INLINE __u32 sl_flow_backend(const struct sl_packet *packet, __u32 current, __u32 origin)
{
	if (packet->protocol == IPPROTO_UDP)
		return sl_flow_backend_in(&kept_udp, &flows_udp, packet, current, origin);
	return sl_flow_backend_in(&kept_tcp, &flows_tcp, packet, current, origin);
}
