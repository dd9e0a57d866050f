#include "dataplane/program_config.h"

#include <endian.h>

#include <string_view>

#include "base/fnv.h"

namespace sluice::dataplane {
namespace {

// A digest of the text, then splitmix64's finalizer, so that seeds of one letter's difference give
// unrelated keys. All load balancers of a fleet must agree on this.
uint64_t key_from(std::string_view seed, uint64_t which) {
  uint64_t state = fnv1a64(seed, which);
  state = (state ^ state >> 30) * 0xbf58476d1ce4e5b9ULL;
  state = (state ^ state >> 27) * 0x94d049bb133111ebULL;
  return state ^ state >> 31;
}

uint64_t host_bits(const std::optional<IpPrefix>& prefix, unsigned width) {
  if (!prefix) return 0;
  const unsigned bits = width - prefix->length;
  return bits >= 64 ? ~0ULL : (1ULL << bits) - 1;
}

}  // namespace

sl_config make_program_config(const model::Config& config) {
  constexpr uint64_t kSecond = 1'000'000'000;
  sl_config made{};
  made.hash_key[0] = key_from(config.defaults.hash_seed, 1);
  made.hash_key[1] = key_from(config.defaults.hash_seed, 2);
  made.flow_seen_every = kSecond;
  made.entropy_mask4 = htobe32(static_cast<uint32_t>(host_bits(config.encapsulation.source4, 32)));
  made.entropy_mask6 = htobe64(host_bits(config.encapsulation.source6, 128));
  return made;
}

}  // namespace sluice::dataplane
