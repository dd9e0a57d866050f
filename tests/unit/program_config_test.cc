// The program's configuration: the hash keys are a contract of the whole fleet, the masks one with the wire.
#include "dataplane/program_config.h"

#include <gtest/gtest.h>

#include <array>
#include <cstring>
#include <set>

namespace sluice::dataplane {
namespace {

model::Config with_seed(const std::string& seed) {
  model::Config config;
  config.defaults.hash_seed = seed;
  return config;
}

model::Config with_sources(std::string_view source4, std::string_view source6) {
  model::Config config;
  if (!source4.empty()) config.encapsulation.source4 = *IpPrefix::parse(source4);
  if (!source6.empty()) config.encapsulation.source6 = *IpPrefix::parse(source6);
  return config;
}

template <typename Mask>
auto bytes_of(Mask mask) {
  std::array<uint8_t, sizeof mask> bytes;
  std::memcpy(bytes.data(), &mask, sizeof mask);
  return bytes;
}

// FNV-1a and splitmix64's finalizer, worked out by other means. To change these is to move connections
// between load balancers of two releases.
TEST(ProgramConfig, MakesTheSameKeysFromASeedForever) {
  const sl_config none = make_program_config(with_seed(""));
  EXPECT_EQ(none.hash_key[0], 0x7f555c6a530fdf81ULL);
  EXPECT_EQ(none.hash_key[1], 0xc56012fd82281826ULL);
  const sl_config edge = make_program_config(with_seed("edge-fleet"));
  EXPECT_EQ(edge.hash_key[0], 0x6458242c14e2e7e2ULL);
  EXPECT_EQ(edge.hash_key[1], 0xb88bf0e941b37a97ULL);
}

TEST(ProgramConfig, MakesUnrelatedKeysFromSeedsThatDifferInOneLetter) {
  std::set<uint64_t> keys;
  for (char letter = 'a'; letter <= 'z'; ++letter) {
    const sl_config made = make_program_config(with_seed(std::string("fleet-") + letter));
    keys.insert({made.hash_key[0], made.hash_key[1]});
  }
  EXPECT_EQ(keys.size(), 52u);
  // Any two agree in some 32 of 64 bits; fewer than 10 or more than 54 happen once in 10^7 pairs.
  for (const uint64_t one : keys)
    for (const uint64_t other : keys)
      if (one != other) {
        EXPECT_GT(__builtin_popcountll(one ^ other), 9);
        EXPECT_LT(__builtin_popcountll(one ^ other), 55);
      }
}

TEST(ProgramConfig, LetsTheHostBitsOfASourceCarryTheHash) {
  using Bytes4 = std::array<uint8_t, 4>;
  EXPECT_EQ(bytes_of(make_program_config(with_sources("", "")).entropy_mask4), (Bytes4{0, 0, 0, 0}));
  EXPECT_EQ(bytes_of(make_program_config(with_sources("192.0.2.10", "")).entropy_mask4),
            (Bytes4{0, 0, 0, 0}));
  EXPECT_EQ(bytes_of(make_program_config(with_sources("172.16.0.0/16", "")).entropy_mask4),
            (Bytes4{0, 0, 255, 255}));
  EXPECT_EQ(bytes_of(make_program_config(with_sources("192.0.2.0/25", "")).entropy_mask4),
            (Bytes4{0, 0, 0, 127}));
  EXPECT_EQ(bytes_of(make_program_config(with_sources("10.0.0.0/8", "")).entropy_mask4),
            (Bytes4{0, 255, 255, 255}));

  using Bytes6 = std::array<uint8_t, 8>;
  EXPECT_EQ(bytes_of(make_program_config(with_sources("", "2001:db8::10")).entropy_mask6), (Bytes6{}));
  EXPECT_EQ(bytes_of(make_program_config(with_sources("", "2001:db8::/96")).entropy_mask6),
            (Bytes6{0, 0, 0, 0, 255, 255, 255, 255}));
  EXPECT_EQ(bytes_of(make_program_config(with_sources("", "2001:db8::/65")).entropy_mask6),
            (Bytes6{127, 255, 255, 255, 255, 255, 255, 255}));
  EXPECT_EQ(bytes_of(make_program_config(with_sources("", "2001:db8::/64")).entropy_mask6),
            (Bytes6{255, 255, 255, 255, 255, 255, 255, 255}));
}

TEST(ProgramConfig, DependsOnSeedAndSourcesAlone) {
  const model::Config config = with_sources("172.16.0.0/16", "2001:db8::/64");
  model::Config other = config;
  other.defaults.grace_seconds = 1;
  other.limits.flows = 4096;
  other.services.emplace_back();
  const sl_config a = make_program_config(config), b = make_program_config(other);
  EXPECT_EQ(std::memcmp(&a, &b, sizeof a), 0);
}

}  // namespace
}  // namespace sluice::dataplane
