#include "plan/allocator.h"

#include <cassert>
#include <iterator>

namespace sluice::plan {

RangeAllocator::RangeAllocator(uint32_t first, uint32_t count) {
  give(first, count);
}

std::optional<uint32_t> RangeAllocator::take(uint32_t count) {
  for (auto range = free_.begin(); range != free_.end(); ++range) {
    if (range->second < count) continue;
    const uint32_t base = range->first;
    take_from(range, base, count);
    return base;
  }
  return std::nullopt;
}

bool RangeAllocator::reserve(uint32_t base, uint32_t count) {
  auto range = free_.upper_bound(base);
  if (range == free_.begin()) return false;
  --range;
  const uint64_t end = static_cast<uint64_t>(range->first) + range->second;
  if (static_cast<uint64_t>(base) + count > end) return false;
  take_from(range, base, count);
  return true;
}

void RangeAllocator::take_from(std::map<uint32_t, uint32_t>::iterator range, uint32_t base, uint32_t count) {
  const auto [first, length] = *range;
  free_.erase(range);
  if (base > first) free_[first] = base - first;
  if (base + count < first + length) free_[base + count] = first + length - base - count;
  free_count_ -= count;
}

void RangeAllocator::give(uint32_t base, uint32_t count) {
  if (count == 0) return;
  free_count_ += count;
  auto next = free_.lower_bound(base);
  assert(next == free_.end() || next->first >= base + count);
  if (next != free_.end() && next->first == base + count) {
    count += next->second;
    next = free_.erase(next);
  }
  if (next != free_.begin()) {
    const auto previous = std::prev(next);
    assert(previous->first + previous->second <= base);
    if (previous->first + previous->second == base) {
      previous->second += count;
      return;
    }
  }
  free_[base] = count;
}

}  // namespace sluice::plan
