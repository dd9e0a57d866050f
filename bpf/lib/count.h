/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
 *
 * Counting a packet, in any of the per-CPU arrays of struct sl_counter.
 */
#pragma once

#include "packet.h"

SL_INLINE void sl_count(void *counters, __u32 index, const struct sl_packet *packet)
{
	struct sl_counter *counter = bpf_map_lookup_elem(counters, &index);

	if (!counter)
		return;
	counter->packets++;
	counter->bytes += packet->frame_size;
}
