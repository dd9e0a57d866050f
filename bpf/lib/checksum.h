/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
 *
 * The Internet checksum (RFC 1071). Sums are of 16-bit words as they lie in memory, which gives the same result
 * in either byte order (section 2.B).
 */
#pragma once

#include "packet.h"

/* Folds a one's-complement sum of at most 2^16 words to 16 bits. */
SL_INLINE __u16 sl_checksum_fold(__u64 sum)
{
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	return (__u16)sum;
}

/* `check` after one 16-bit word under it went from `before` to `after`, RFC 1624 equation 3. */
SL_INLINE __u16 sl_checksum_replace(__u16 check, __u16 before, __u16 after)
{
	__u64 sum = (__u16)~check;

	sum += (__u16)~before;
	sum += after;
	return (__u16)~sl_checksum_fold(sum);
}
