#include "kernel/route_watch.h"

#include <linux/rtnetlink.h>

namespace sluice::kernel {
namespace {

bool covers(const IpPrefix& prefix, const IpAddress& address) {
  if (prefix.address.family != address.family) return false;
  const size_t whole_bytes = prefix.length / 8;
  for (size_t i = 0; i < whole_bytes; ++i) {
    if (prefix.address.bytes[i] != address.bytes[i]) return false;
  }
  if (prefix.length % 8 == 0) return true;
  const auto mask = static_cast<uint8_t>(0xff << (8 - prefix.length % 8));
  return ((prefix.address.bytes[whole_bytes] ^ address.bytes[whole_bytes]) & mask) == 0;
}

}  // namespace

void RouteWatch::asked_destination(const IpAddress& destination, Time now) {
  forget_the_old(now);
  destinations_[destination] = now;
}

void RouteWatch::answered_link(const LinkFacts& link) {
  links_[link.ifindex] = link;
}

void RouteWatch::answered_neighbour(uint32_t ifindex, const IpAddress& address, const NeighbourAnswer& answer,
                                    Time now) {
  neighbours_[{ifindex, address}] = {.answer = answer, .reported = false, .asked = now};
}

std::optional<RouteWatch::NeighbourAnswer> RouteWatch::last_neighbour_answer(uint32_t ifindex,
                                                                             const IpAddress& address) const {
  const auto found = neighbours_.find({ifindex, address});
  if (found == neighbours_.end()) return std::nullopt;
  return found->second.answer;
}

bool RouteWatch::concerns(const nlmsghdr& announcement) {
  switch (announcement.nlmsg_type) {
    case RTM_NEWLINK:
    case RTM_DELLINK:
      return link_concerns(announcement);
    case RTM_NEWROUTE:
    case RTM_DELROUTE:
      return route_concerns(announcement);
    case RTM_NEWNEIGH:
    case RTM_DELNEIGH:
      return neighbour_concerns(announcement);
    // An address changes the source and, in IPv4, takes routes away without an announcement of their own;
    // rules and next-hop objects stand behind any number of routes.
    case RTM_NEWADDR:
    case RTM_DELADDR:
    case RTM_NEWRULE:
    case RTM_DELRULE:
    case RTM_NEWNEXTHOP:
    case RTM_DELNEXTHOP:
      return true;
    default:
      return false;
  }
}

// A link's first announcement concerns: it may be the one that somebody waits for by name, and a link that
// goes down takes IPv4 routes with it in silence.
bool RouteWatch::link_concerns(const nlmsghdr& announcement) {
  const auto link = decode_link(announcement);
  if (!link) return false;  // another family's view of it; what matters to us is announced in ours, too
  const auto known = links_.find(link->ifindex);
  if (announcement.nlmsg_type == RTM_DELLINK) {
    if (known != links_.end()) links_.erase(known);
    return true;
  }
  if (known != links_.end() && known->second == *link) return false;
  links_[link->ifindex] = *link;
  return true;
}

bool RouteWatch::route_concerns(const nlmsghdr& announcement) const {
  const auto prefix = decode_route_prefix(announcement);
  if (!prefix) return true;  // not understood: better to ask again than to miss it
  // Addresses are ordered by family, then bytes: those that a prefix covers stand side by side from its
  // first.
  const auto candidate = destinations_.lower_bound(prefix->address);
  return candidate != destinations_.end() && covers(*prefix, candidate->first);
}

bool RouteWatch::neighbour_concerns(const nlmsghdr& announcement) {
  const auto neighbour = decode_neighbour(announcement);
  if (!neighbour) return false;  // a bridge's or a tunnel's forwarding entry
  const auto known = neighbours_.find({neighbour->ifindex, neighbour->address});
  if (known == neighbours_.end() || known->second.reported) return false;
  const bool deleted = announcement.nlmsg_type == RTM_DELNEIGH;
  const auto mac = deleted ? std::nullopt : neighbour->usable_mac();
  const NeighbourAnswer& answer = known->second.answer;
  bool changed = false;
  switch (answer.state) {
    case Neighbour::kResolved:
      changed = mac != answer.mac;
      break;
    case Neighbour::kPending:
      changed = mac.has_value() || (!deleted && neighbour->failed());
      break;
    case Neighbour::kFailed:
      // Failing again is no news: every attempt to wake the neighbour ends so, and each would cause the next.
      changed = mac.has_value();
      break;
  }
  known->second.reported = changed;
  return changed;
}

void RouteWatch::forget_the_old(Time now) {
  if (now - forgot_at_ < kForgetAfter) return;
  forgot_at_ = now;
  std::erase_if(destinations_, [&](const auto& entry) { return now - entry.second > kForgetAfter; });
  std::erase_if(neighbours_, [&](const auto& entry) { return now - entry.second.asked > kForgetAfter; });
}

}  // namespace sluice::kernel
