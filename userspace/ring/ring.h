// The ring builder: which backend each slot of a service's ring names.
//
// Pure: no state, no I/O, safe from any thread. The ring is a function of the SET of members and the number
// of slots, and is the same on every machine, so load balancers that never talk to each other send a flow to
// the same backend. What follows is therefore a contract between all of a fleet's machines and releases: to
// change any of it is to move connections during an upgrade.
//
//  1. Shares are exact. A member's quota is slots * weight / (sum of weights), rounded down; the slots left
//     over go one each to the members with the largest remainders. So nobody is a whole slot off its exact
//     share, and a member whose share is less than one slot may get none.
//  2. Each member visits all slots in an order of its own: the permutation of Maglev (NSDI 2016, section
//     3.4) with odd strides, so that a power of two works, and a scramble after the stride, because members
//     whose strides are in a simple ratio meet again and again.
//  3. A member's visit number r (0, 1, ...) has a time, which depends on no other member:
//     (1/slots + 1/(slots-1) + ... + 1/(slots-r)) / weight. This is when that one of `slots` exponential
//     clocks is expected to ring, so the chance to be first at a slot is proportional to weight.
//  4. Visits happen in the order of their times. A visit to a free slot, by a member with quota left, takes
//     the slot.
//  5. Equal times and equal remainders are decided by the identity's 64-bit hash, the smaller first, then by
//     the identity itself.
// The hash, the permutation and the widths of all integers are in ring.cc; tests pin them with known rings.
//
// Maglev instead counts turns: a member that meets a taken slot walks on to a free one within its turn. How
// long the walk is depends on everybody before it, so one member's leaving echoes through the slots of all
// others. Here the time of a visit depends on nobody else; only the quotas do. About half as many slots
// change hands.
#pragma once

#include <array>
#include <compare>
#include <cstdint>
#include <span>
#include <vector>

namespace sluice::ring {

// What places a member on the ring, equal on every load balancer: the backend's address.
struct Identity {
  uint8_t family = 0;               // 4 or 6; keeps 10.0.0.1 apart from a00:1::
  std::array<uint8_t, 16> bytes{};  // network order; IPv4 uses the first four, the rest are zero

  auto operator<=>(const Identity&) const = default;
};

struct Member {
  Identity identity;    // unique within a set
  uint32_t weight = 0;  // relative share, up to model::kMaxWeight; 0: no slot
  uint32_t value = 0;   // what is written in its slots: a backend id, never 0; no influence on placement
};

// The ring: exactly `slots` values; all 0 when no member has weight. The members' order means nothing.
// Preconditions (asserted): `slots` is a power of two up to model::kMaxRingSlots, there are fewer than 2^20
// members, and weights, identities and values are as said above. Time grows with slots * log(slots), hardly
// with the number of members: about 2 ms for 65,536 slots, about a second for 2^22, where the caches end.
// Memory is about 20 bytes a slot.
std::vector<uint32_t> build(std::span<const Member> members, uint32_t slots);

}  // namespace sluice::ring
