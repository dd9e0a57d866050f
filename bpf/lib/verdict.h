/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
 *
 * The one exit: a reason becomes an XDP action and one counter. A forwarded packet is counted at its backend,
 * any other at its reason, so that every packet is counted exactly once.
 */
#pragma once

#include "count.h"
#include "maps.h"
#include "packet.h"

SL_INLINE int sl_verdict(struct xdp_md *ctx, const struct sl_packet *packet, enum sl_reason reason)
{
	int action = reason < SL_REASON_FIRST_DROP ? XDP_PASS : reason < SL_REASON_FIRST_ANSWER ? XDP_DROP : XDP_TX;

	if (reason == SL_OK) {
		action = XDP_TX;
		if (packet->backend->ifindex != ctx->ingress_ifindex)
			action = bpf_redirect_map(&egress, packet->backend->ifindex, 0);
		if (action != XDP_ABORTED) {
			sl_count(&backend_counters, packet->backend_id, packet);
			return action;
		}
		reason = SL_DROP_NO_EGRESS;
		action = XDP_DROP;
	}
	sl_count(&reason_counters, reason, packet);
	return action;
}
