// FNV-1a, 64 bit: a fixed, portable digest of short texts. Not for adversaries.
#pragma once

#include <cstdint>
#include <string_view>

namespace sluice {

constexpr uint64_t fnv1a64(std::string_view text, uint64_t salt = 0) {
  uint64_t state = 0xcbf29ce484222325ULL ^ salt;
  for (const char c : text) state = (state ^ static_cast<uint8_t>(c)) * 0x100000001b3ULL;
  return state;
}

}  // namespace sluice
