// What of a kernel table is free: contiguous ranges (ring blocks) and single ids. Pure bookkeeping.
#pragma once

#include <cstdint>
#include <map>
#include <optional>

namespace sluice::plan {

class RangeAllocator {
 public:
  // Hands out ranges inside [first, first + count).
  RangeAllocator(uint32_t first, uint32_t count);

  // The lowest free range that is long enough; nullopt when there is none.
  std::optional<uint32_t> take(uint32_t count);
  // Takes exactly this range; false (and nothing taken) unless all of it is free.
  bool reserve(uint32_t base, uint32_t count);
  // The range was taken before.
  void give(uint32_t base, uint32_t count);

  uint32_t free_count() const { return free_count_; }

 private:
  void take_from(std::map<uint32_t, uint32_t>::iterator range, uint32_t base, uint32_t count);

  std::map<uint32_t, uint32_t> free_;  // base -> count; ranges do not touch
  uint32_t free_count_ = 0;
};

}  // namespace sluice::plan
