// How a ring's slots change: the rules of stable and tracked slots, pure.
//
// A slot that a change moves from A to B becomes tracked with current B and origin A, so that flows begun
// before the change stay on A. While tracked, a further change moves `current` alone: every flow begun since
// the slot was last stable is in the flow table, so `origin` stays the truth for the rest. A dead backend is
// nobody's origin.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "bpf/abi.h"

namespace sluice::plan {

struct Slots {
  std::vector<uint32_t> current;  // backend id, with SL_SLOT_TRACKED where tracked
  std::vector<uint32_t> origin;   // backend id; equal to current's where stable
};

struct SlotChange {
  Slots slots;
  uint32_t moved = 0;    // slots whose current backend changed, as a share of the result's
  uint32_t tracked = 0;  // slots that are tracked now
  bool differs = false;  // anything at all to write
};

// Which of a service's slots become tracked.
enum class Tracking {
  kMovedSlots,  // those that the change moves
  kNone,        // none
  kAllSlots,    // all: the flow table is to lead until the slots settle
};

bool any_tracked(std::span<const uint32_t> slots);

// `before_*` is the block as it is (empty for a new service), `wanted` the ring as built; both lengths are
// powers of two. The result is as long as the longer one, so that a shrinking ring forgets nothing, or as
// much shorter as can be said of it without loss: once it has settled, as long as `wanted`. `lives` says of a
// backend id other than 0 whether it will still exist after the change.
SlotChange change_slots(std::span<const uint32_t> before_current, std::span<const uint32_t> before_origin,
                        std::span<const uint32_t> wanted, Tracking tracking,
                        const std::function<bool(uint32_t)>& lives);

}  // namespace sluice::plan
