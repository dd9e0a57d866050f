// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* The backend's side: takes the outer header off IP-in-IP packets (RFC 2003, RFC 2473) that are addressed to this
 * host, so that a backend needs no tunnel device. The inner packet goes on to the kernel, which must own the VIP.
 */

#include "lib/decap.h"

SEC("xdp")
int decap(struct xdp_md *ctx)
{
	struct sl_tunnel tunnel = {};
	enum sl_decap_reason reason;

	reason = sl_tunnel_parse(ctx, &tunnel);
	if (reason == SL_DECAP_DONE)
		reason = sl_tunnel_is_ours(&tunnel);
	if (reason == SL_DECAP_DONE)
		reason = sl_tunnel_check_inner(&tunnel);
	if (reason == SL_DECAP_DONE)
		reason = sl_tunnel_strip(ctx, &tunnel);
	return sl_decap_verdict(&tunnel, reason);
}

char _license[] SEC("license") = "Dual BSD/GPL";
