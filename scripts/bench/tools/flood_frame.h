// A TCP frame of a flood: from a random address of 198.18.0.0/15 (RFC 2544's benchmarking network) and a
// random port, with right checksums, so that nobody but its receiver finds fault with it.
#pragma once

#include <linux/if_ether.h>
#include <linux/ip.h>
#include <linux/tcp.h>

#include <cstdint>
#include <random>

#include "base/address.h"

namespace sluice::bench {

enum class FloodKind { kSyn, kAck };

struct [[gnu::packed]] FloodFrame {
  ethhdr ethernet;
  iphdr ip;
  tcphdr tcp;
};
static_assert(sizeof(FloodFrame) == 54);

using Random = std::mt19937_64;

// All that stays the same.
FloodFrame make_flood_frame(const MacAddress& from, const MacAddress& to, FloodKind kind);

// Gives the frame a destination (IPv4) and a new random source.
void aim(FloodFrame& frame, const Endpoint& vip, Random& random);

}  // namespace sluice::bench
