#include "plan/slots.h"

#include <algorithm>
#include <bit>
#include <cassert>

namespace sluice::plan {

SlotChange change_slots(std::span<const uint32_t> before_current, std::span<const uint32_t> before_origin,
                        std::span<const uint32_t> wanted, Tracking tracking,
                        const std::function<bool(uint32_t)>& lives) {
  assert(std::has_single_bit(wanted.size()) && before_current.size() == before_origin.size());
  const size_t size = std::max(before_current.size(), wanted.size());
  SlotChange change;
  change.differs = before_current.size() != size;
  change.slots.current.resize(size);
  change.slots.origin.resize(size);
  for (size_t i = 0; i < size; ++i) {
    const uint32_t next = wanted[i & (wanted.size() - 1)];
    uint32_t current = next, origin = next;
    bool tracked = false;
    if (!before_current.empty()) {
      const size_t was = i & (before_current.size() - 1);
      const uint32_t before = before_current[was] & ~SL_SLOT_TRACKED;
      const bool was_tracked = (before_current[was] & SL_SLOT_TRACKED) != 0;
      const bool begins = tracking == Tracking::kAllSlots || (before != next && before != 0 && lives(before));
      tracked = tracking != Tracking::kNone && (was_tracked || begins);
      if (tracked) origin = was_tracked ? before_origin[was] : before;
      if (origin != 0 && !lives(origin)) origin = next;
      if (before != next) ++change.moved;
      if (!change.differs)
        change.differs =
            before_current[was] != (next | (tracked ? SL_SLOT_TRACKED : 0)) || before_origin[was] != origin;
    }
    if (tracked) ++change.tracked;
    change.slots.current[i] = current | (tracked ? SL_SLOT_TRACKED : 0);
    change.slots.origin[i] = origin;
  }
  return change;
}

}  // namespace sluice::plan
