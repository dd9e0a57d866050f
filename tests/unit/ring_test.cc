// The ring's properties, over many sets of members, and the ring itself, because a fleet depends on every
// release building the same one. Figures that the documentation quotes are printed and recorded as test
// properties.
#include "ring/ring.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <chrono>
#include <map>
#include <random>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "model/config.h"

namespace sluice::ring {
namespace {

using Ring = std::vector<uint32_t>;
using Members = std::vector<Member>;
using Random = std::mt19937_64;

constexpr uint32_t kSlots = model::kDefaultRingSlots;

Identity v4(uint32_t number) {
  const uint32_t address = 0x0a000000 + number;
  return {4, {uint8_t(address >> 24), uint8_t(address >> 16), uint8_t(address >> 8), uint8_t(address)}};
}

Identity v6(uint32_t number) {
  Identity id{6, {0x20, 0x01, 0x0d, 0xb8}};
  for (unsigned i = 0; i < 4; ++i) id.bytes[12 + i] = uint8_t(number >> (24 - 8 * i));
  return id;
}

Identity numbered(uint8_t family, uint32_t number) {
  return family == 4 ? v4(number) : v6(number);
}

// Neighbouring addresses, as operators hand them out. Values are numbered from 1.
Members neighbours(uint8_t family, uint32_t count, uint32_t weight = 1, uint32_t first = 1) {
  Members members;
  for (uint32_t i = 0; i < count; ++i) members.push_back({numbered(family, first + i), weight, i + 1});
  return members;
}

// Random distinct addresses of both families with weights 1 to `max_weight`.
Members random_members(Random& random, uint32_t count, uint32_t max_weight = 1) {
  std::set<Identity> identities;
  while (identities.size() < count) identities.insert(numbered(random() % 2 ? 4 : 6, uint32_t(random())));
  Members members;
  for (const Identity& id : identities) {
    members.push_back({id, uint32_t(1 + random() % max_weight), uint32_t(members.size() + 1)});
  }
  return members;
}

std::map<uint32_t, uint32_t> slots_of_each(const Ring& ring) {
  std::map<uint32_t, uint32_t> count;
  for (uint32_t value : ring) ++count[value];
  return count;
}

// Every member has its exact share, rounded up or down (so it is at most 1 % off where it has 100 slots or
// more), and nobody else has anything.
void expect_exact_shares(const Ring& ring, const Members& members) {
  uint64_t total = 0;
  for (const Member& m : members) total += m.weight;
  auto count = slots_of_each(ring);
  uint64_t known = 0;
  for (const Member& m : members) {
    const uint64_t product = uint64_t{ring.size()} * m.weight;
    const uint64_t got = count[m.value];
    known += got;
    EXPECT_GE(got, product / total) << "value " << m.value << " weight " << m.weight;
    EXPECT_LE(got, (product + total - 1) / total) << "value " << m.value << " weight " << m.weight;
  }
  EXPECT_EQ(known, ring.size()) << "a slot names nobody";
}

// A second reading of the contract in ring.h, as slow as its words: all visits sorted by time.
namespace contract {

uint64_t mix(uint64_t x) {
  x = (x ^ (x >> 32)) * 0x6a09e667f3bcc909;
  x = (x ^ (x >> 29)) * 0xbb67ae8584caa73b;
  x = (x ^ (x >> 31)) * 0x3c6ef372fe94f82b;
  return x ^ (x >> 32);
}

constexpr uint64_t kGolden = 0x9e3779b97f4a7c15;

uint64_t hash(const Identity& id) {
  uint64_t low = 0, high = 0;
  for (size_t i = 8; i-- > 0;) low = low * 256 + id.bytes[i], high = high * 256 + id.bytes[8 + i];
  return mix((mix(mix(id.family + kGolden) ^ low) + kGolden) ^ high);
}

uint32_t slot_of_visit(const Identity& id, uint32_t visit, uint32_t slots) {
  const uint64_t h = hash(id);
  const uint64_t start = mix(h + 2 * kGolden), path = mix(h + kGolden);
  const uint64_t stride = (path & 0xffffffff) | 1, spread = (path >> 32) | 1;
  const uint64_t raw = (start + visit * stride) % slots;
  const int bits = std::countr_zero(slots);
  return uint32_t((raw ^ (raw >> ((bits + 1) / 2))) * spread % slots);
}

std::vector<uint64_t> quotas(const Members& ranked, uint32_t slots) {
  uint64_t total = 0, left = slots;
  for (const Member& m : ranked) total += m.weight;
  std::vector<uint64_t> quota;
  std::set<std::pair<uint64_t, size_t>> shortfall;  // smallest first is largest remainder first
  for (size_t i = 0; i < ranked.size(); ++i) {
    quota.push_back(uint64_t{slots} * ranked[i].weight / total);
    left -= quota.back();
    shortfall.emplace(total - uint64_t{slots} * ranked[i].weight % total, i);
  }
  for (auto next = shortfall.begin(); left > 0; --left, ++next) ++quota[next->second];
  return quota;
}

Ring build(Members members, uint32_t slots) {
  std::erase_if(members, [](const Member& m) { return m.weight == 0; });
  std::sort(members.begin(), members.end(), [](const Member& a, const Member& b) {
    return std::pair(hash(a.identity), a.identity) < std::pair(hash(b.identity), b.identity);
  });
  struct Visit {
    uint64_t time;
    size_t rank;
    uint32_t slot;
    auto operator<=>(const Visit&) const = default;
  };
  std::vector<Visit> visits;
  for (size_t rank = 0; rank < members.size(); ++rank) {
    uint64_t clock = 0;
    for (uint32_t r = 0; r < slots; ++r) {
      clock += 0xffffffff / (slots - r);
      const uint64_t time = clock * ((1U << 28) / members[rank].weight) >> 20;
      visits.push_back({time, rank, slot_of_visit(members[rank].identity, r, slots)});
    }
  }
  std::sort(visits.begin(), visits.end());
  std::vector<uint64_t> quota = quotas(members, slots);
  Ring ring(slots, 0);
  for (const Visit& v : visits) {
    if (ring[v.slot] != 0 || quota[v.rank] == 0) continue;
    ring[v.slot] = members[v.rank].value;
    --quota[v.rank];
  }
  return ring;
}

}  // namespace contract

TEST(Ring, IsWhatTheContractSays) {
  Random random(1);
  for (int round = 0; round < 60; ++round) {
    const uint32_t slots = 1U << (random() % 11);
    const uint32_t max_weight = std::vector<uint32_t>{1, 3, 100, model::kMaxWeight}[random() % 4];
    const Members members = random_members(random, uint32_t(1 + random() % 60), max_weight);
    ASSERT_EQ(build(members, slots), contract::build(members, slots))
        << members.size() << " members, " << slots << " slots, weights to " << max_weight;
  }
  EXPECT_EQ(build(neighbours(4, 12), kSlots), contract::build(neighbours(4, 12), kSlots));
}

// FNV-1a over the slots' values, lowest byte first.
uint64_t fingerprint(const Ring& ring) {
  uint64_t h = 0xcbf29ce484222325;
  for (uint32_t value : ring) {
    for (unsigned i = 0; i < 4; ++i) h = (h ^ ((value >> (8 * i)) & 0xff)) * 0x100000001b3;
  }
  return h;
}

// If this fails, an upgrade of a fleet moves connections while old and new releases serve side by side.
TEST(Ring, IsTheOneThatEarlierReleasesBuilt) {
  Members mixed = neighbours(4, 20);
  for (const Member& m : neighbours(6, 20)) mixed.push_back({m.identity, m.value * m.value, m.value + 20});

  EXPECT_EQ(build(neighbours(4, 3), 8), (Ring{1, 1, 3, 2, 3, 2, 3, 1}));
  EXPECT_EQ(fingerprint(build(neighbours(4, 100), kSlots)), 0x4adef8a444f4cf88U);
  EXPECT_EQ(fingerprint(build(neighbours(6, 1000), kSlots)), 0x2895decd3a17e69cU);
  EXPECT_EQ(fingerprint(build(mixed, 1U << 18)), 0x10bad81e33058f4U);
}

TEST(Ring, IsAllZeroWhenNobodyHasWeight) {
  EXPECT_EQ(build({}, 256), Ring(256, 0));
  EXPECT_EQ(build(neighbours(4, 5, 0), 256), Ring(256, 0));
}

TEST(Ring, BelongsToTheOnlyMember) {
  for (uint32_t weight : {1U, 7U, model::kMaxWeight}) {
    EXPECT_EQ(build(Members{{v6(9), weight, 42}}, kSlots), Ring(kSlots, 42));
  }
}

TEST(Ring, OfOneSlotGoesToOneMember) {
  const Ring ring = build(neighbours(4, 9), 1);
  ASSERT_EQ(ring.size(), 1U);
  EXPECT_NE(ring[0], 0U);
}

TEST(Ring, OfTheLargestSizeIsShared) {
  const Members members = neighbours(4, 3, model::kMaxWeight);
  expect_exact_shares(build(members, model::kMaxRingSlots), members);
}

TEST(Ring, GivesEqualWeightsTheirExactShareRoundedUpOrDown) {
  Random random(2);
  for (uint32_t count : {2U, 3U, 7U, 10U, 64U, 100U, 255U, 1000U}) {
    for (int round = 0; round < 3; ++round) {
      const Members members = random_members(random, count);
      const Ring ring = build(members, kSlots);
      ASSERT_EQ(ring.size(), kSlots);
      expect_exact_shares(ring, members);
    }
  }
}

TEST(Ring, GivesUnequalWeightsTheirExactShareRoundedUpOrDown) {
  Random random(3);
  for (uint32_t max_weight : {2U, 10U, 256U, model::kMaxWeight}) {
    for (uint32_t count : {2U, 5U, 33U, 100U, 700U}) {
      for (int round = 0; round < 2; ++round) {
        const Members members = random_members(random, count, max_weight);
        expect_exact_shares(build(members, kSlots), members);
      }
    }
  }
}

TEST(Ring, GivesNoSlotToWeightZeroAndIsAsIfItWereNotThere) {
  Random random(4);
  for (int round = 0; round < 10; ++round) {
    Members members = random_members(random, 50, 5);
    for (size_t i = 0; i < members.size(); i += 3) members[i].weight = 0;
    Members weighty = members;
    std::erase_if(weighty, [](const Member& m) { return m.weight == 0; });
    EXPECT_EQ(build(members, 4096), build(weighty, 4096));
  }
}

TEST(Ring, DoesNotDependOnTheOrderOfTheMembers) {
  Random random(5);
  for (int round = 0; round < 30; ++round) {
    Members members = random_members(random, uint32_t(2 + random() % 200), round % 2 ? 1 : 20);
    const Ring ring = build(members, 4096);
    std::shuffle(members.begin(), members.end(), random);
    ASSERT_EQ(build(members, 4096), ring);
  }
}

TEST(Ring, IsPlacedByIdentitiesNotByValues) {
  Random random(6);
  for (int round = 0; round < 20; ++round) {
    Members members = random_members(random, 80, 4);
    Ring expected = build(members, 4096);
    for (uint32_t& value : expected) value = 100000 - value;
    for (Member& m : members) m.value = 100000 - m.value;
    ASSERT_EQ(build(members, 4096), expected);
  }
}

TEST(Ring, OfEqualWeightsDoesNotDependOnWhichWeight) {
  const Ring ring = build(neighbours(4, 77), kSlots);
  for (uint32_t weight : {2U, 3U, 1000U, model::kMaxWeight}) {
    EXPECT_EQ(build(neighbours(4, 77, weight), kSlots), ring) << weight;
  }
}

TEST(Ring, TellsAnIPv4AddressFromTheIPv6AddressWithTheSameBytes) {
  const Identity four = v4(1);
  const Identity six{6, four.bytes};
  const Members both{{four, 1, 1}, {six, 1, 2}};
  expect_exact_shares(build(both, 256), both);
  EXPECT_NE(build(Members{{four, 1, 1}, {v4(2), 1, 2}}, 256),
            build(Members{{six, 1, 1}, {v4(2), 1, 2}}, 256));
}

TEST(Ring, UsesEveryByteOfAnIdentity) {
  const Identity plain{6, {}};
  const Members other{{v6(1), 1, 2}};
  const Ring ring = build(Members{{plain, 1, 1}, other[0]}, 4096);
  for (size_t i = 0; i < 16; ++i) {
    Identity changed = plain;
    changed.bytes[i] = 1;
    const Ring changed_ring = build(Members{{changed, 1, 1}, other[0]}, 4096);
    uint32_t same = 0;
    for (size_t s = 0; s < ring.size(); ++s) same += ring[s] == changed_ring[s];
    EXPECT_NEAR(same, 2048, 1024) << "byte " << i;  // unrelated places agree on about half of the slots
  }
}

TEST(Ring, GivesEachAtMostOneSlotWhenThereAreMoreMembersThanSlots) {
  const Members members = neighbours(6, 300);
  const Ring ring = build(members, 256);
  expect_exact_shares(ring, members);
  EXPECT_EQ(slots_of_each(ring).size(), 256U);
}

TEST(Ring, GivesAShareBelowOneSlotWhatTheLargestRemainderGives) {
  const Members members{{v4(1), model::kMaxWeight, 1}, {v4(2), 1, 2}};
  EXPECT_EQ(slots_of_each(build(members, 256)), (std::map<uint32_t, uint32_t>{{1, 256}}));
  EXPECT_EQ(slots_of_each(build(members, 65536)), (std::map<uint32_t, uint32_t>{{1, 65535}, {2, 1}}));
}

#ifndef NDEBUG
TEST(RingDeathTest, RefusesWhatItsPreconditionsExclude) {
  const Members twice{{v4(1), 1, 1}, {v4(1), 2, 2}};
  EXPECT_DEATH(build(twice, 256), "identity");
  EXPECT_DEATH(build(neighbours(4, 2), 300), "has_single_bit");
  EXPECT_DEATH(build(Members{{v4(1), 1, 0}}, 256), "value");
  EXPECT_DEATH(build(Members{{v4(1), model::kMaxWeight + 1, 1}}, 256), "weight");
}
#endif

// Slots that changed hands between two members of which neither is `subject`, in percent of the slots that
// were and are not the subject's. The least possible is 0 for every change of one member among equals.
double others_moved(const Ring& before, const Ring& after, uint32_t subject) {
  size_t others = 0, moved = 0;
  for (size_t s = 0; s < before.size(); ++s) {
    if (before[s] == subject || after[s] == subject) continue;
    ++others;
    moved += before[s] != after[s];
  }
  return 100.0 * double(moved) / double(others);
}

struct Spread {
  double min, median, max;
};

Spread spread_of(std::vector<double> samples) {
  std::sort(samples.begin(), samples.end());
  return {samples.front(), samples[samples.size() / 2], samples.back()};
}

// Changes each member, or 40 or more spread over the set, one at a time, and says how many of the others'
// slots moved.
template <typename Change>
Spread disruption(const Members& members, Change change) {
  const Ring before = build(members, kSlots);
  std::vector<double> samples;
  const size_t step = members.size() > 100 ? members.size() / 40 : 1;
  for (size_t i = 0; i < members.size(); i += step) {
    Members changed = members;
    const uint32_t subject = change(changed, i);
    samples.push_back(others_moved(before, build(changed, kSlots), subject));
  }
  return spread_of(std::move(samples));
}

uint32_t remove(Members& members, size_t which) {
  const uint32_t value = members[which].value;
  members.erase(members.begin() + std::ptrdiff_t(which));
  return value;
}

uint32_t add(Members& members, size_t which) {
  const uint32_t value = uint32_t(members.size()) + 1;
  members.push_back({numbered(members[0].identity.family, uint32_t(100000 + which)), 1, value});
  return value;
}

uint32_t double_weight(Members& members, size_t which) {
  members[which].weight *= 2;
  return members[which].value;
}

class RingDisruption : public testing::TestWithParam<std::pair<int, uint32_t>> {};

TEST_P(RingDisruption, OfOneMembersChangeStaysSmallForTheOthers) {
  const auto [family, count] = GetParam();
  const Members members = neighbours(uint8_t(family), count);
  const auto report = [this, f = family, n = count](const std::string& change, const Spread& spread) {
    const std::string line =
        fmt::format("min {:.3f} median {:.3f} max {:.3f}", spread.min, spread.median, spread.max);
    fmt::print("  {} of {:4} IPv{} backends, % of the others' slots moved (least possible 0): {}\n", change,
               n, f, line);
    RecordProperty(change, line);
    EXPECT_LE(spread.max, 0.6) << change;
  };
  report("remove_one", disruption(members, remove));
  report("add_one", disruption(members, add));
  report("double_weight", disruption(members, double_weight));
}

INSTANTIATE_TEST_SUITE_P(Sets, RingDisruption,
                         testing::Values(std::pair(4, 10), std::pair(6, 10), std::pair(4, 100),
                                         std::pair(6, 100), std::pair(4, 1000), std::pair(6, 1000)),
                         [](const auto& set) {
                           return fmt::format("IPv{}Backends{}", set.param.first, set.param.second);
                         });

// What one set shows can be luck: strides in a simple ratio, for one, are rare and cost a small set dearly.
TEST(Ring, ChangesLittleForTheOthersInEverySet) {
  struct Kind {
    std::string name;
    uint32_t fewest, most, max_weight;
    int sets;
  };
  Random random(7);
  for (const Kind& kind : {Kind{"3_to_12_equal", 3, 12, 1, 250}, Kind{"3_to_22_weights_to_10", 3, 22, 10, 80},
                           Kind{"100_equal", 100, 100, 1, 30}, Kind{"100_weights_to_10", 100, 100, 10, 30}}) {
    std::vector<double> samples;
    for (int round = 0; round < kind.sets; ++round) {
      const uint32_t count = kind.fewest + uint32_t(random() % (kind.most - kind.fewest + 1));
      Members members = random_members(random, count, kind.max_weight);
      const Ring before = build(members, kSlots);
      const uint32_t subject = remove(members, random() % members.size());
      samples.push_back(others_moved(before, build(members, kSlots), subject));
    }
    const Spread spread = spread_of(std::move(samples));
    const std::string line =
        fmt::format("min {:.3f} median {:.3f} max {:.3f}", spread.min, spread.median, spread.max);
    fmt::print("  remove_one of {}, {} sets, % of the others' slots moved: {}\n", kind.name, kind.sets, line);
    RecordProperty("remove_one_of_" + kind.name, line);
    EXPECT_LE(spread.max, 0.6) << kind.name;
  }
}

TEST(Ring, OfAThousandMembersIsBuiltWithoutHoldingUpAnEventLoop) {
  for (uint32_t count : {10U, 100U, 1000U}) {
    const Members members = neighbours(4, count);
    std::vector<double> samples;
    for (int round = 0; round < 15; ++round) {
      const auto start = std::chrono::steady_clock::now();
      const Ring ring = build(members, kSlots);
      samples.push_back(
          std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - start).count());
      ASSERT_NE(ring[0], 0U);
    }
    const Spread spread = spread_of(std::move(samples));
    fmt::print("  build {} slots for {:4} backends: min {:.2f} median {:.2f} max {:.2f} ms\n", kSlots, count,
               spread.min, spread.median, spread.max);
    RecordProperty(fmt::format("build_ms_{}", count), fmt::format("{:.2f}", spread.median));
    EXPECT_LT(spread.min, 50.0);  // far from the usual 2 ms, so that sanitizers and busy machines pass
  }
}

}  // namespace
}  // namespace sluice::ring
