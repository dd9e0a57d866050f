// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* The load balancer: one XDP program, five stages and one exit. Every stage returns a reason; SL_OK goes on. */

#include "lib/packet.h"

#include "lib/parse.h"
#include "lib/service.h"
#include "lib/fragment.h"
#include "lib/select.h"
#include "lib/encap.h"
#include "lib/answer.h"
#include "lib/verdict.h"

SEC("xdp")
int sluice(struct xdp_md *ctx)
{
	struct sl_packet packet = {};
	enum sl_reason reason;

	reason = sl_parse(ctx, &packet);
	if (reason == SL_OK)
		reason = packet.fragment ? sl_find_service_of_fragment(&packet) : sl_find_service(&packet);
	if (reason == SL_OK)
		reason = sl_select(&packet);
	if (reason == SL_OK)
		reason = sl_encapsulate(ctx, &packet);
	if (reason == SL_DROP_TOO_BIG)
		reason = sl_answer_too_big(ctx, &packet);
	return sl_verdict(ctx, &packet, reason);
}

char _license[] SEC("license") = "Dual BSD/GPL";
