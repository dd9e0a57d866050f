// What bench-peer's two sides say to each other over TCP: the server a line with its name first, then the
// client a Message now and then, which the server sends back with its name filled in.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <string_view>

namespace sluice::bench {

struct Message {
  uint64_t connection = 0;
  uint64_t number = 0;
  std::array<char, 16> answered_by{};  // the server's name, padded with zeros

  bool operator==(const Message&) const = default;
};
static_assert(sizeof(Message) == 32);  // no padding: it is sent as it lies in memory, on one machine

constexpr size_t kMaxNameLength = sizeof(Message::answered_by);

inline void sign(Message& message, std::string_view name) {
  message.answered_by = {};
  std::copy_n(name.begin(), std::min(name.size(), kMaxNameLength), message.answered_by.begin());
}

}  // namespace sluice::bench
