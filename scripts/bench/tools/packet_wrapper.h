/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
 *
 * What the wrapper program and the bench that loads it agree on: where a flow stands in the frame, and which
 * flow a run is of. C and C++.
 */
#pragma once

#define BENCH_HEADER_WORDS 7   /* of 8 bytes: Ethernet, IPv4 and TCP without options, and two bytes more */
#define BENCH_SOURCE_OFFSET 26 /* IPv4 source address, behind Ethernet */
#define BENCH_PORT_OFFSET 34   /* TCP or UDP source port, behind IPv4 without options */
#define BENCH_PUSH_SIZE 20     /* bytes of an IPv4 header */

/* The flow at place `order` (mod flows); the factor is odd and near 2^32 / golden ratio. */
#define BENCH_FLOW(order, mask) (((order)*2654435769u) & (mask))
/* Its source port; its source address is the first one plus the flow's number. */
#define BENCH_PORT(flow) (0x8000u | ((flow)&0x7fffu))
