// Decides which of the kernel's announcements can change an answer that was given.
//
// A router announces hundreds of routes a second, a busy segment a neighbour every few milliseconds, and our
// own XDP attachment its interface; were each of them to make the agent resolve every backend again, it would
// do little else. So this remembers the questions and answers, and compares announcements with them.
//
// Pure: no sockets, and the time is an argument. Invariants:
// 1. When an announcement can change the answer to a question asked within kForgetAfter, and the asker has
// not yet
//    been told to ask again, concerns() is true. It may be true for one that changes nothing.
// 2. After a true, the asker asks all its questions again: until it does so about a neighbour, more news of
// that
//    neighbour is no news.
// 3. What has not been asked for kForgetAfter is forgotten, so that memory follows the questions of the
// present.
#pragma once

#include <linux/netlink.h>

#include <chrono>
#include <cstdint>
#include <map>
#include <optional>
#include <utility>

#include "base/address.h"
#include "kernel/rtnetlink_message.h"

namespace sluice::kernel {

class RouteWatch {
 public:
  using Time = std::chrono::steady_clock::time_point;
  static constexpr std::chrono::minutes kForgetAfter{30};

  enum class Neighbour { kPending, kResolved, kFailed };
  struct NeighbourAnswer {
    Neighbour state = Neighbour::kPending;
    MacAddress mac;  // the last that was known; zero: none since it failed
  };

  void asked_destination(const IpAddress& destination, Time now);
  void answered_link(const LinkFacts& link);
  void answered_neighbour(uint32_t ifindex, const IpAddress& address, const NeighbourAnswer& answer,
                          Time now);
  std::optional<NeighbourAnswer> last_neighbour_answer(uint32_t ifindex, const IpAddress& address) const;

  bool concerns(const nlmsghdr& announcement);

 private:
  using NeighbourKey = std::pair<uint32_t, IpAddress>;  // ifindex first: a link-local address is one per link
  struct NeighbourMemory {
    NeighbourAnswer answer;
    bool reported = false;  // the asker was told to ask again
    Time asked;
  };

  bool link_concerns(const nlmsghdr& announcement);
  bool route_concerns(const nlmsghdr& announcement) const;
  bool neighbour_concerns(const nlmsghdr& announcement);
  void forget_the_old(Time now);

  std::map<IpAddress, Time> destinations_;
  std::map<NeighbourKey, NeighbourMemory> neighbours_;
  std::map<uint32_t, LinkFacts> links_;  // by ifindex: as last answered or announced
  Time forgot_at_{};
};

}  // namespace sluice::kernel
