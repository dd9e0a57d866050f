// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Passes everything. A veth receives what its peer sends by XDP_TX or redirect only if a native program is on it;
 * this is that program where there is nothing else to run.
 */

#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

SEC("xdp")
int pass(struct xdp_md *ctx __attribute__((unused)))
{
	return XDP_PASS;
}

char _license[] SEC("license") = "Dual BSD/GPL";
