// The allocator against a model that knows of each number whether it is free.
#include "plan/allocator.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <vector>

namespace sluice::plan {
namespace {

// One flag a number; the number `first + i` is at index i.
class Model {
 public:
  Model(uint32_t first, uint32_t count) : first_(first), is_free_(count, true) {}

  std::optional<uint32_t> lowest(uint32_t count) const {
    for (size_t i = 0; i + count <= is_free_.size(); ++i)
      if (all_free(i, count)) return first_ + static_cast<uint32_t>(i);
    return std::nullopt;
  }
  bool is_free(uint32_t base, uint32_t count) const {
    if (base < first_ || base - first_ + size_t{count} > is_free_.size()) return false;
    return all_free(base - first_, count);
  }
  void set(uint32_t base, uint32_t count, bool free) {
    std::fill_n(is_free_.begin() + (base - first_), count, free);
  }
  uint32_t free_count() const {
    return static_cast<uint32_t>(std::count(is_free_.begin(), is_free_.end(), true));
  }

 private:
  bool all_free(size_t index, uint32_t count) const {
    return std::all_of(is_free_.begin() + static_cast<ptrdiff_t>(index),
                       is_free_.begin() + static_cast<ptrdiff_t>(index + count),
                       [](bool free) { return free; });
  }
  uint32_t first_;
  std::vector<bool> is_free_;
};

TEST(Allocator, TakesTheLowestRangeThatIsLongEnough) {
  RangeAllocator ids(1, 8);
  EXPECT_EQ(ids.take(2), 1u);
  EXPECT_EQ(ids.take(1), 3u);
  EXPECT_EQ(ids.take(2), 4u);
  ids.give(1, 2);
  ids.give(4, 2);
  EXPECT_EQ(ids.take(3), 4u) << "1 and 2 are free but too few";
  EXPECT_EQ(ids.take(1), 1u);
}

TEST(Allocator, HandsOutEverythingAndNotOneMore) {
  RangeAllocator ids(1, 100);
  for (uint32_t id = 1; id <= 100; ++id) EXPECT_EQ(ids.take(1), id);
  EXPECT_EQ(ids.take(1), std::nullopt);
  EXPECT_EQ(ids.free_count(), 0u);
  EXPECT_EQ(RangeAllocator(0, 64).take(64), 0u);
  EXPECT_EQ(RangeAllocator(0, 64).take(65), std::nullopt);
  EXPECT_EQ(RangeAllocator(1, 0).take(1), std::nullopt);
}

TEST(Allocator, JoinsWhatIsGivenBackInAnyOrder) {
  std::vector<uint32_t> bases{0, 16, 32, 48};
  do {
    RangeAllocator ring(0, 64);
    for (size_t i = 0; i < bases.size(); ++i) ASSERT_TRUE(ring.take(16));
    for (const uint32_t base : bases) ring.give(base, 16);
    ASSERT_EQ(ring.take(64), 0u);
  } while (std::next_permutation(bases.begin(), bases.end()));
}

TEST(Allocator, ReservesAllOfARangeOrNothingOfIt) {
  RangeAllocator ring(16, 64);
  EXPECT_FALSE(ring.reserve(0, 16)) << "before the first";
  EXPECT_FALSE(ring.reserve(64, 32)) << "over the end";
  EXPECT_FALSE(ring.reserve(80, 1)) << "behind the end";
  EXPECT_FALSE(ring.reserve(16, UINT32_MAX)) << "base + count passes 2^32";
  EXPECT_TRUE(ring.reserve(32, 16));
  EXPECT_FALSE(ring.reserve(32, 16)) << "taken already";
  EXPECT_FALSE(ring.reserve(16, 32)) << "its second half is taken";
  EXPECT_FALSE(ring.reserve(40, 16)) << "its first half is taken";
  EXPECT_EQ(ring.free_count(), 48u);
  EXPECT_TRUE(ring.reserve(16, 16));
  EXPECT_TRUE(ring.reserve(48, 32));
  EXPECT_EQ(ring.free_count(), 0u);
}

TEST(Allocator, AgreesWithTheModelThroughRandomUse) {
  std::mt19937 random(1);
  const auto below = [&](uint32_t n) { return static_cast<uint32_t>(random() % n); };
  for (int run = 0; run < 100; ++run) {
    const uint32_t first = below(3), count = 1 + below(96);
    RangeAllocator allocator(first, count);
    Model model(first, count);
    std::vector<std::pair<uint32_t, uint32_t>> taken;
    for (int step = 0; step < 300; ++step) {
      const uint32_t size = 1 + below(12);
      if (const uint32_t action = below(5); action < 2) {
        const auto base = allocator.take(size);
        ASSERT_EQ(base, model.lowest(size));
        if (base) taken.emplace_back(*base, size);
      } else if (action == 2) {
        const uint32_t base = below(count + 4);
        const bool free = model.is_free(base, size);
        ASSERT_EQ(allocator.reserve(base, size), free);
        if (free) taken.emplace_back(base, size);
      } else if (!taken.empty()) {
        std::swap(taken[below(static_cast<uint32_t>(taken.size()))], taken.back());
        const auto [base, length] = taken.back();
        taken.pop_back();
        allocator.give(base, length);
        model.set(base, length, true);
      }
      for (const auto& [base, length] : taken) model.set(base, length, false);
      ASSERT_EQ(allocator.free_count(), model.free_count());
    }
  }
}

}  // namespace
}  // namespace sluice::plan
