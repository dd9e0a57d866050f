#include "plan/slots.h"

#include <algorithm>
#include <bit>
#include <cassert>

namespace sluice::plan {
namespace {

// One slot's change. `before` is nothing where the service is new.
struct Change {
  uint32_t current = 0;
  uint32_t origin = 0;
  bool moved = false;
};

Change stays_stable(uint32_t next) {
  return {next, next, false};
}

Change moves(uint32_t before_current, uint32_t before_origin, uint32_t next, Tracking tracking,
             const std::function<bool(uint32_t)>& lives) {
  const uint32_t before = before_current & ~SL_SLOT_TRACKED;
  const bool was_tracked = (before_current & SL_SLOT_TRACKED) != 0;
  const bool begins = tracking == Tracking::kAllSlots || (before != next && before != 0 && lives(before));
  const bool tracked = tracking != Tracking::kNone && (was_tracked || begins);
  uint32_t origin = !tracked ? next : was_tracked ? before_origin : before;
  if (origin != 0 && !lives(origin)) origin = next;
  return {next | (tracked ? SL_SLOT_TRACKED : 0), origin, before != next};
}

// How many of the slots, at least `least`, say the same as all of them.
size_t period(const Slots& slots, size_t least) {
  size_t size = slots.current.size();
  const auto repeats = [&](std::span<const uint32_t> all) {
    return std::ranges::equal(all.first(size / 2), all.subspan(size / 2, size / 2));
  };
  while (size > least && repeats(slots.current) && repeats(slots.origin)) size /= 2;
  return size;
}

bool says(const Slots& slots, std::span<const uint32_t> current, std::span<const uint32_t> origin) {
  return std::ranges::equal(slots.current, current) && std::ranges::equal(slots.origin, origin);
}

}  // namespace

bool any_tracked(std::span<const uint32_t> slots) {
  return std::ranges::any_of(slots, [](uint32_t slot) { return (slot & SL_SLOT_TRACKED) != 0; });
}

SlotChange change_slots(std::span<const uint32_t> before_current, std::span<const uint32_t> before_origin,
                        std::span<const uint32_t> wanted, Tracking tracking,
                        const std::function<bool(uint32_t)>& lives) {
  assert(std::has_single_bit(wanted.size()) && before_current.size() == before_origin.size());
  const size_t size = std::max(before_current.size(), wanted.size());
  Slots slots;
  size_t moved = 0;
  for (size_t i = 0; i < size; ++i) {
    const uint32_t next = wanted[i & (wanted.size() - 1)];
    const size_t was = i & (before_current.size() - 1);  // of nothing, nothing is read
    const Change change = before_current.empty()
                              ? stays_stable(next)
                              : moves(before_current[was], before_origin[was], next, tracking, lives);
    slots.current.push_back(change.current);
    slots.origin.push_back(change.origin);
    moved += change.moved;
  }
  const size_t enough = period(slots, wanted.size());
  slots.current.resize(enough);
  slots.origin.resize(enough);
  SlotChange result;
  result.moved = static_cast<uint32_t>(moved * enough / size);
  result.tracked = static_cast<uint32_t>(
      std::ranges::count_if(slots.current, [](uint32_t slot) { return (slot & SL_SLOT_TRACKED) != 0; }));
  result.differs = !says(slots, before_current, before_origin);
  result.slots = std::move(slots);
  return result;
}

}  // namespace sluice::plan
