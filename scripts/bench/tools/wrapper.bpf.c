// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Stands in front of the program that bench-packet times. BPF_PROG_TEST_RUN with repeat=N gives every run the frame
 * as the run before left it, so a load balancer would meet its own output from the second run on. Here each run
 * first gets the frame back as it came in, of the next of 2^k flows, and then tail-calls the program. The clock is
 * read inside, at the beginnings of two runs: what lies between is whole packets and no system call.
 *
 * Userspace sets the parameters through the skeleton before each BPF_PROG_TEST_RUN, and puts one program into
 * `target`. One run at a time: the state is not per CPU.
 */

#include <linux/bpf.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "packet_wrapper.h"

struct {
	__uint(type, BPF_MAP_TYPE_PROG_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u32);
} target SEC(".maps");

/* parameters */
__u64 headers[BENCH_HEADER_WORDS]; /* the first bytes of every frame */
__u32 frame_size;
__u32 flow_mask;    /* flows - 1; flows is a power of two */
__u32 first_flow;   /* place in the order of flows that run 0 takes */
__u32 first_source; /* IPv4 source address of flow 0, host order */
__u64 begin_run;    /* runs at whose beginning the clock is read */
__u64 end_run;

/* results, zero before */
__u64 runs;
__u64 begin_ns;
__u64 end_ns;
__u64 failures; /* runs in which the frame could not be restored or the program not be called */

/* Where the frame began in run 0, and begins now. Addresses that went through memory are numbers to the verifier,
 * which knows no way to subtract a packet pointer from one that an earlier run had.
 */
static __u64 home;
static volatile __u64 here;

/* Gives the frame its first beginning and its length back, whatever was put on or cut off at either end. */
static __always_inline long restore_bounds(struct xdp_md *ctx, __u64 run)
{
	__u64 begin;
	long missing;

	here = (__u64)(void *)(long)ctx->data;
	begin = here;
	if (run == 0)
		home = begin;
	if (begin != home && bpf_xdp_adjust_head(ctx, (int)(home - begin)))
		return -1;
	missing = (long)frame_size - ((void *)(long)ctx->data_end - (void *)(long)ctx->data);
	return missing ? bpf_xdp_adjust_tail(ctx, (int)missing) : 0;
}

/* Writes the headers of the run's flow. An odd factor modulo a power of two is a permutation: all flows come, and
 * neighbours in time are not neighbours in number.
 */
static __always_inline int restore_headers(struct xdp_md *ctx, __u64 run)
{
	__u32 flow = BENCH_FLOW(first_flow + (__u32)run, flow_mask);
	void *data = (void *)(long)ctx->data;
	void *data_end = (void *)(long)ctx->data_end;
	int word;

	if (data + sizeof(headers) > data_end)
		return -1;
#pragma unroll
	for (word = 0; word < BENCH_HEADER_WORDS; word++)
		((__u64 *)data)[word] = headers[word];
	*(__be32 *)(data + BENCH_SOURCE_OFFSET) = bpf_htonl(first_source + flow);
	*(__be16 *)(data + BENCH_PORT_OFFSET) = bpf_htons(BENCH_PORT(flow));
	return 0;
}

SEC("xdp")
int wrapper(struct xdp_md *ctx)
{
	__u64 run = runs++;

	if (run == begin_run)
		begin_ns = bpf_ktime_get_ns();
	if (run == end_run)
		end_ns = bpf_ktime_get_ns();
	if (restore_bounds(ctx, run) == 0 && restore_headers(ctx, run) == 0)
		bpf_tail_call(ctx, &target, 0);
	failures++;
	return XDP_ABORTED;
}

/* The least that a program can do which encapsulates: all figures are quoted as multiples of its time. */
SEC("xdp")
int bare_push(struct xdp_md *ctx)
{
	return bpf_xdp_adjust_head(ctx, -BENCH_PUSH_SIZE) ? XDP_ABORTED : XDP_TX;
}

char _license[] SEC("license") = "Dual BSD/GPL";
