// Sorting all visits by time, as rule 4 reads, would be slow. Instead members propose (Gale and Shapley):
// whoever is short of its quota makes its next visit and takes the slot if that is free or held by a later
// visitor, who is then short again. Both sides rank by the same number, so there is one stable outcome, it is
// rule 4's, and the order in which members get to propose cannot change it.
//
// All numbers are integers, and their widths are part of the contract:
//
//   clock   Q32, below 2^36: the harmonic sum is below 16 for up to 2^22 slots
//   pace    2^28 / weight, at least 2^12
//   claim   clock * pace (below 2^64), its lowest 20 bits replaced by the member's rank under rule 5
//
// Invariant: a member's claims grow with each visit. The clock advances by at least 1023 and the pace is at
// least 4096, so their product advances by more than the 20 bits that the rank takes.
#include "ring/ring.h"

#include <algorithm>
#include <bit>
#include <cassert>
#include <numeric>
#include <utility>

#include "model/config.h"

namespace sluice::ring {
namespace {

constexpr unsigned kRankBits = 20;
constexpr uint64_t kRankMask = (1U << kRankBits) - 1;
constexpr unsigned kClockBits = 32;
constexpr unsigned kPaceBits = 28;
constexpr uint64_t kTimeUnit = uint64_t{1} << (kClockBits + kPaceBits);
constexpr uint64_t kFree = UINT64_MAX;  // later than any claim

static_assert(model::kMaxRingSlots <= 1U << 22, "the clock's width is chosen for this");
static_assert(model::kMaxWeight <= UINT16_MAX, "the pace's width is chosen for this");

// The fractional bits of the golden ratio and of the square roots of 2, 3 and 5, the second made odd.
constexpr uint64_t kGolden = 0x9e3779b97f4a7c15;
constexpr uint64_t kRoot2 = 0x6a09e667f3bcc909;
constexpr uint64_t kRoot3 = 0xbb67ae8584caa73b;
constexpr uint64_t kRoot5 = 0x3c6ef372fe94f82b;

// A bijection of 64 bits in which every input bit reaches every output bit.
constexpr uint64_t mix(uint64_t x) {
  x = (x ^ (x >> 32)) * kRoot2;
  x = (x ^ (x >> 29)) * kRoot3;
  x = (x ^ (x >> 31)) * kRoot5;
  return x ^ (x >> 32);
}

uint64_t little_endian(const uint8_t* bytes) {
  uint64_t word = 0;
  for (unsigned i = 0; i < 8; ++i) word |= uint64_t{bytes[i]} << (8 * i);
  return word;
}

uint64_t hash(const Identity& identity) {
  uint64_t h = mix(identity.family + kGolden);
  h = mix(h ^ little_endian(identity.bytes.data())) + kGolden;
  return mix(h ^ little_endian(identity.bytes.data() + 8));
}

// A member that has weight. Its place in the list, which rule 5 sorts, is its rank.
struct Candidate {
  const Member* member;
  uint64_t hash;
  uint32_t pace;
  uint32_t quota = 0;
  uint32_t held = 0;
  uint32_t visits = 0;
  uint32_t position;  // before the scramble, modulo 2^32
  uint32_t stride;
  uint32_t spread;

  explicit Candidate(const Member& m) : member(&m), hash(ring::hash(m.identity)) {
    const uint64_t path = mix(hash + kGolden);
    pace = (1U << kPaceBits) / m.weight;
    position = static_cast<uint32_t>(mix(hash + 2 * kGolden));
    stride = static_cast<uint32_t>(path) | 1;
    spread = static_cast<uint32_t>(path >> 32) | 1;
  }
};

std::vector<Candidate> rank_candidates(std::span<const Member> members) {
  std::vector<Candidate> candidates;
  candidates.reserve(members.size());
  for (const Member& member : members) {
    assert(member.weight <= model::kMaxWeight && member.value != 0);
    if (member.weight != 0) candidates.emplace_back(member);
  }
  std::sort(candidates.begin(), candidates.end(), [](const Candidate& a, const Candidate& b) {
    return a.hash != b.hash ? a.hash < b.hash : a.member->identity < b.member->identity;
  });
  assert(std::adjacent_find(candidates.begin(), candidates.end(), [](const Candidate& a, const Candidate& b) {
           return a.member->identity == b.member->identity;
         }) == candidates.end());
  return candidates;
}

// Rule 1.
void share_out(std::vector<Candidate>& candidates, uint32_t slots) {
  uint64_t total = 0;
  for (const Candidate& c : candidates) total += c.member->weight;

  uint32_t left = slots;
  std::vector<uint64_t> remainder(candidates.size());
  for (size_t i = 0; i < candidates.size(); ++i) {
    const uint64_t product = uint64_t{slots} * candidates[i].member->weight;
    candidates[i].quota = static_cast<uint32_t>(product / total);
    remainder[i] = product % total;
    left -= candidates[i].quota;
  }
  std::vector<size_t> by_remainder(candidates.size());
  std::iota(by_remainder.begin(), by_remainder.end(), size_t{0});
  std::stable_sort(by_remainder.begin(), by_remainder.end(),
                   [&](size_t a, size_t b) { return remainder[a] > remainder[b]; });
  for (uint32_t i = 0; i < left; ++i) ++candidates[by_remainder[i]].quota;
}

// Rule 3, but for the weight.
std::vector<uint64_t> visit_clock(uint32_t slots) {
  std::vector<uint64_t> clock(slots);
  uint64_t now = 0;
  for (uint32_t r = 0; r < slots; ++r) clock[r] = now += UINT32_MAX / (slots - r);
  return clock;
}

// Rules 2 and 4: the claim that holds each slot. The quotas add up to `slots`.
class Matching {
 public:
  Matching(std::vector<Candidate>& candidates, uint32_t slots)
      : candidates_(candidates),
        clock_(visit_clock(slots)),
        claims_(slots, kFree),
        slots_(slots),
        shift_((static_cast<unsigned>(std::countr_zero(slots)) + 1) / 2) {
    for (const Candidate& c : candidates) total_weight_ += c.member->weight;
  }

  // Members move through time together, because then few slots are taken only to be lost again. At the first
  // horizon they have made about slots/8 visits.
  std::vector<uint64_t> run() && {
    uint64_t horizon = kTimeUnit / (8 * total_weight_);
    for (bool hungry = true; hungry; horizon = later(horizon)) {
      hungry = false;
      for (uint32_t rank = 0; rank < candidates_.size(); ++rank) {
        if (candidates_[rank].held == candidates_[rank].quota) continue;
        hungry = true;
        feed(rank, horizon);
      }
    }
    return std::move(claims_);
  }

 private:
  static uint64_t later(uint64_t horizon) { return horizon > kFree / 2 ? kFree : horizon + horizon / 2 + 1; }

  static uint64_t claim_of(uint64_t clock, uint64_t pace, uint64_t rank) {
    return ((clock * pace) & ~kRankMask) | rank;
  }

  // Visits until the member's quota is full or its time is past `horizon`. The visits cannot run out: after
  // the last one no slot is free, so all quotas, this one too, are full. Works on copies of what it changes,
  // because the stores to claims_ would force everything back to memory.
  void feed(uint32_t rank, uint64_t horizon) {
    Candidate& c = candidates_[rank];
    const uint64_t pace = c.pace;
    uint32_t position = c.position;
    const uint64_t* clock = clock_.data() + c.visits;
    uint64_t* const claims = claims_.data();
    uint32_t wanted = c.quota - c.held;
    for (; wanted != 0; position += c.stride, ++clock) {
      const uint64_t claim = claim_of(*clock, pace, rank);
      if (claim > horizon) break;
      uint64_t& holder = claims[slot_at(position, c.spread)];
      if (claim >= holder) continue;
      if (holder != kFree) --candidates_[holder & kRankMask].held;
      holder = claim;
      --wanted;
    }
    c.held = c.quota - wanted;
    c.position = position;
    c.visits = static_cast<uint32_t>(clock - clock_.data());
  }

  // Each step is a bijection modulo a power of two, so `slots` visits see every slot once.
  uint32_t slot_at(uint32_t position, uint32_t spread) const {
    uint32_t slot = position & (slots_ - 1);
    slot ^= slot >> shift_;
    return (slot * spread) & (slots_ - 1);
  }

  std::vector<Candidate>& candidates_;
  const std::vector<uint64_t> clock_;
  std::vector<uint64_t> claims_;
  const uint32_t slots_;
  const unsigned shift_;
  uint64_t total_weight_ = 0;
};

}  // namespace

std::vector<uint32_t> build(std::span<const Member> members, uint32_t slots) {
  assert(std::has_single_bit(slots) && slots <= model::kMaxRingSlots);
  assert(members.size() < kRankMask);
  std::vector<uint32_t> ring(slots, 0);
  std::vector<Candidate> candidates = rank_candidates(members);
  if (candidates.empty()) return ring;

  share_out(candidates, slots);
  const std::vector<uint64_t> claims = Matching(candidates, slots).run();
  for (uint32_t s = 0; s < slots; ++s) ring[s] = candidates[claims[s] & kRankMask].member->value;
  return ring;
}

}  // namespace sluice::ring
