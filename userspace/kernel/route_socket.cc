#include "kernel/route_socket.h"

#include <fmt/format.h>
#include <linux/if.h>
#include <linux/neighbour.h>
#include <linux/rtnetlink.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>

namespace sluice::kernel {
namespace {

constexpr std::chrono::milliseconds kPatience{2000};

Error nonsense(std::string_view what) {
  return Error{ErrorCode::kInternal, fmt::format("the kernel's {} message cannot be understood", what)};
}

// Why the kernel's routing refuses a destination, by the errno it answers with; empty: some other failure.
std::string refusal(const IpAddress& destination, int error) {
  const std::string to = destination.to_string();
  switch (error) {
    case ENETUNREACH:
    case ESRCH:
    case EAGAIN:  // a "throw" route with nothing behind it
      return fmt::format("no route to {}", to);
    case EHOSTUNREACH:
      return fmt::format("the route to {} is of type unreachable", to);
    case EACCES:
      return fmt::format("the route to {} is of type prohibit", to);
    case EINVAL:
      return fmt::format("the route to {} is of type blackhole, or it is not an address to send to", to);
    case ENODEV:
      return fmt::format("the interface of the route to {} is gone", to);
    case EAFNOSUPPORT:
    case EOPNOTSUPP:
      return fmt::format("this kernel has no {}", destination.family == Family::kV4 ? "IPv4" : "IPv6");
    default:
      return {};
  }
}

// Likewise by the type of the route that it answers with; empty: a unicast route.
std::string refusal_by_type(const IpAddress& destination, uint8_t type) {
  const std::string to = destination.to_string();
  switch (type) {
    case RTN_UNICAST:
      return {};
    case RTN_UNREACHABLE:
      return refusal(destination, EHOSTUNREACH);
    case RTN_PROHIBIT:
      return refusal(destination, EACCES);
    case RTN_BLACKHOLE:
      return fmt::format("the route to {} is of type blackhole", to);
    case RTN_BROADCAST:
    case RTN_ANYCAST:
    case RTN_MULTICAST:
      return fmt::format("{} is not a unicast address", to);
    default:
      return fmt::format("the route to {} is of type {}, which leads nowhere", to, type);
  }
}

std::string way_to(const NextHop& hop) {
  return hop.gateway ? fmt::format("via {} on {}", hop.gateway->to_string(), hop.interface)
                     : fmt::format("directly on {}", hop.interface);
}

// What it means when the kernel refuses to be told that a neighbour is in use. False: nothing about the
// world.
bool describe_refused_use(int error, const IpAddress& neighbour, NextHop& hop) {
  if (error == ENODEV || error == ENETDOWN) {
    hop.state = NextHopState::kLinkDown;
    hop.detail = fmt::format("{} is gone or down", hop.interface);
    return true;
  }
  if (error == ENOBUFS || error == ENOSPC) {
    hop.state = NextHopState::kNeighbourFailed;
    hop.detail = fmt::format(
        "the kernel's neighbour table has no room for {} on {}; raise net.ipv{}.neigh.default.gc_thresh3",
        neighbour.to_string(), hop.interface, neighbour.family == Family::kV4 ? 4 : 6);
    return true;
  }
  return false;
}

Error refused_use_error(int refused, const IpAddress& neighbour, std::string_view interface) {
  Error error =
      system_error(fmt::format("probe neighbour {} on {}", neighbour.to_string(), interface), refused);
  if (refused == ENETDOWN) error.code = ErrorCode::kUnavailable;
  if (refused == ENOBUFS) error.code = ErrorCode::kNoSpace;
  if (refused == EPERM) error.message += "; it takes CAP_NET_ADMIN";
  return error;
}

}  // namespace

std::string_view to_string(NextHopState state) {
  switch (state) {
    case NextHopState::kResolved:
      return "resolved";
    case NextHopState::kNeighbourPending:
      return "neighbour-pending";
    case NextHopState::kNeighbourFailed:
      return "neighbour-failed";
    case NextHopState::kNoRoute:
      return "no-route";
    case NextHopState::kLinkDown:
      return "link-down";
    case NextHopState::kLocal:
      return "local";
    case NextHopState::kUnsupportedLink:
      return "unsupported-link";
  }
  return "unknown";
}

RouteSocket::RouteSocket(NetlinkRequester requests, NetlinkListener events)
    : requests_(std::move(requests)), events_(std::move(events)) {}

Result<RouteSocket> RouteSocket::open() {
  constexpr std::array<int, 4> kWanted{RTNLGRP_LINK, RTNLGRP_NEIGH, RTNLGRP_IPV4_IFADDR, RTNLGRP_IPV4_ROUTE};
  // IPv6 may be compiled out; next-hop objects came with Linux 5.3.
  constexpr std::array<int, 5> kOptional{RTNLGRP_IPV4_RULE, RTNLGRP_IPV6_IFADDR, RTNLGRP_IPV6_ROUTE,
                                         RTNLGRP_IPV6_RULE, RTNLGRP_NEXTHOP};
  NetlinkListener events = SLUICE_TRY(NetlinkListener::open(kWanted, kOptional));
  NetlinkRequester requests = SLUICE_TRY(NetlinkRequester::open(kPatience));
  return RouteSocket(std::move(requests), std::move(events));
}

bool RouteSocket::drain_events() {
  bool concerned = false;
  const bool complete =
      events_.drain([&](const nlmsghdr& announcement) { concerned |= watch_.concerns(announcement); });
  return concerned || !complete;
}

Result<NextHop> RouteSocket::resolve(const IpAddress& destination,
                                     std::optional<MacAddress> fixed_destination_mac) {
  watch_.asked_destination(destination, std::chrono::steady_clock::now());
  NextHop hop;
  hop.source_address.family = destination.family;
  LinkFacts link;
  if (!SLUICE_TRY(fill_from_route(destination, hop))) return hop;
  if (!SLUICE_TRY(fill_from_link(hop, link))) return hop;
  if (!fixed_destination_mac) {
    SLUICE_TRY(fill_from_neighbour(hop.gateway.value_or(destination), link, hop));
    return hop;
  }
  hop.state = NextHopState::kResolved;
  hop.destination_mac = *fixed_destination_mac;
  hop.detail = fmt::format("to the configured {} on {}", fixed_destination_mac->to_string(), hop.interface);
  return hop;
}

Result<bool> RouteSocket::fill_from_route(const IpAddress& destination, NextHop& hop) {
  const std::string attempted = "look up the route to " + destination.to_string();
  auto request = RtnetlinkRequest::route_to(destination);
  auto answer = requests_.ask(request.message());
  if (!answer) return std::move(answer).error().within(attempted);
  if (answer->error != 0) {
    hop.detail = refusal(destination, answer->error);
    if (hop.detail.empty()) return system_error(attempted, answer->error);
    return false;
  }
  const auto route = answer->message == nullptr ? std::nullopt : decode_route(*answer->message);
  if (!route) return nonsense("route").within(attempted);
  hop.ifindex = route->ifindex;
  hop.gateway = route->gateway;
  hop.mtu = route->mtu;
  if (route->source) hop.source_address = *route->source;
  if (route->type == RTN_LOCAL) {
    hop.state = NextHopState::kLocal;
    hop.detail = fmt::format("{} is an address of this node", destination.to_string());
    return false;
  }
  hop.detail = refusal_by_type(destination, route->type);
  if (hop.detail.empty() && route->ifindex == 0) {
    hop.detail = fmt::format("the route to {} names no interface", destination.to_string());
  }
  if (!hop.detail.empty()) return false;
  if (!route->encapsulates) return true;
  hop.state = NextHopState::kUnsupportedLink;
  hop.detail = fmt::format("the route to {} wraps packets in a tunnel (encap)", destination.to_string());
  return false;
}

Result<bool> RouteSocket::fill_from_link(NextHop& hop, LinkFacts& link) {
  auto found = find_link(RtnetlinkRequest::link(hop.ifindex));
  if (!found) return std::move(found).error().within(fmt::format("look up interface {}", hop.ifindex));
  if (!found->has_value()) {
    hop.state = NextHopState::kLinkDown;
    hop.detail = fmt::format("interface {} of the route is gone", hop.ifindex);
    return false;
  }
  link = **found;
  hop.interface = link.name;
  hop.mtu = hop.mtu == 0 ? link.mtu : std::min(hop.mtu, link.mtu);
  if (!link.running) {
    hop.state = NextHopState::kLinkDown;
    hop.detail = link.up ? fmt::format("{} has no carrier", link.name) : fmt::format("{} is down", link.name);
    return false;
  }
  if (!link.ethernet) {
    hop.state = NextHopState::kUnsupportedLink;
    hop.detail = fmt::format("{} is not an Ethernet interface", link.name);
    return false;
  }
  hop.source_mac = link.mac;
  return true;
}

Result<> RouteSocket::fill_from_neighbour(const IpAddress& neighbour, const LinkFacts& link, NextHop& hop) {
  const auto facts = SLUICE_TRY(find_neighbour(hop.ifindex, neighbour));
  const auto mac = facts ? facts->usable_mac() : std::nullopt;
  // On a link without ARP the kernel makes up an entry that holds the link's own MAC; nobody else answers to
  // it.
  const bool invented = !link.resolves_neighbours && mac == link.mac;
  if (!mac || invented) {
    if (link.resolves_neighbours) return await_neighbour(neighbour, facts, hop);
    hop.state = NextHopState::kUnsupportedLink;
    hop.detail = fmt::format("{} does not resolve neighbours (noarp); set next_hop to the MAC address of {}",
                             hop.interface, neighbour.to_string());
    return ok();
  }
  hop.state = NextHopState::kResolved;
  hop.destination_mac = *mac;
  hop.detail = way_to(hop);
  watch_.answered_neighbour(hop.ifindex, neighbour, {RouteWatch::Neighbour::kResolved, *mac},
                            std::chrono::steady_clock::now());
  if ((facts->state & NUD_STALE) == 0) return ok();
  // The MAC is good meanwhile, so a refusal must not stop traffic; but it must be seen.
  const auto refused = use_neighbour(hop.ifindex, neighbour);
  if (!refused) {
    hop.detail += fmt::format("; the neighbour cannot be verified: {}", refused.error().message);
  } else if (*refused != 0) {
    hop.detail += fmt::format("; the neighbour cannot be verified: {}", std::strerror(*refused));
  }
  return ok();
}

// No MAC to send to: makes the kernel ask, unless it does already. A neighbour that has failed stays failed
// until it answers, though the kernel calls it incomplete, or forgets it, each time that it asks again.
Result<> RouteSocket::await_neighbour(const IpAddress& neighbour, const std::optional<NeighbourFacts>& facts,
                                      NextHop& hop) {
  auto answer = watch_.last_neighbour_answer(hop.ifindex, neighbour).value_or(RouteWatch::NeighbourAnswer{});
  if ((facts && facts->failed()) || answer.state == RouteWatch::Neighbour::kFailed) {
    answer = {RouteWatch::Neighbour::kFailed, MacAddress{}};
    hop.state = NextHopState::kNeighbourFailed;
    hop.detail = fmt::format("no answer from neighbour {} on {}", neighbour.to_string(), hop.interface);
  } else {
    answer.state = RouteWatch::Neighbour::kPending;
    hop.state = NextHopState::kNeighbourPending;
    hop.destination_mac = answer.mac;
    hop.detail = fmt::format("waiting for neighbour {} on {}", neighbour.to_string(), hop.interface);
  }
  watch_.answered_neighbour(hop.ifindex, neighbour, answer, std::chrono::steady_clock::now());
  const bool being_asked = facts && (facts->state & NUD_INCOMPLETE) != 0;
  if (being_asked) return ok();
  const int refused = SLUICE_TRY(use_neighbour(hop.ifindex, neighbour));
  if (refused == 0 || describe_refused_use(refused, neighbour, hop)) return ok();
  return refused_use_error(refused, neighbour, hop.interface);
}

Result<> RouteSocket::probe(uint32_t ifindex, const IpAddress& neighbour) {
  const auto facts = SLUICE_TRY(find_neighbour(ifindex, neighbour));
  if (facts && facts->managed_by_hand()) return ok();
  const int refused = SLUICE_TRY(use_neighbour(ifindex, neighbour));
  if (refused == 0) return ok();
  return refused_use_error(refused, neighbour, fmt::format("interface {}", ifindex));
}

Result<LinkFacts> RouteSocket::link(uint32_t ifindex) {
  auto found = find_link(RtnetlinkRequest::link(ifindex));
  if (!found) return std::move(found).error().within(fmt::format("look up interface {}", ifindex));
  if (!found->has_value())
    return Error{ErrorCode::kNotFound, fmt::format("there is no interface {}", ifindex)};
  return std::move(**found);
}

Result<LinkFacts> RouteSocket::link(std::string_view name) {
  if (name.empty() || name.size() >= IFNAMSIZ || name.find('\0') != std::string_view::npos) {
    return Error{ErrorCode::kNotFound,
                 fmt::format("'{}' cannot be an interface: a name has 1 to 15 characters", name)};
  }
  auto found = find_link(RtnetlinkRequest::link(name));
  if (!found) return std::move(found).error().within(fmt::format("look up interface {}", name));
  if (!found->has_value()) return Error{ErrorCode::kNotFound, fmt::format("there is no interface {}", name)};
  return std::move(**found);
}

Result<std::optional<LinkFacts>> RouteSocket::find_link(RtnetlinkRequest request) {
  const auto answer = SLUICE_TRY(requests_.ask(request.message()));
  if (answer.error == ENODEV) return std::optional<LinkFacts>{};
  if (answer.error != 0) return system_error("ask the kernel", answer.error);
  auto link = answer.message == nullptr ? std::nullopt : decode_link(*answer.message);
  if (!link) return nonsense("link");
  watch_.answered_link(*link);
  return link;
}

Result<std::optional<NeighbourFacts>> RouteSocket::find_neighbour(uint32_t ifindex,
                                                                  const IpAddress& address) {
  const std::string attempted =
      fmt::format("look up neighbour {} on interface {}", address.to_string(), ifindex);
  auto request = RtnetlinkRequest::neighbour(ifindex, address);
  auto answer = requests_.ask(request.message());
  if (!answer) return std::move(answer).error().within(attempted);
  // No such entry, or by now no such interface: making use of it will tell which.
  if (answer->error == ENOENT || answer->error == ENODEV) return std::optional<NeighbourFacts>{};
  if (answer->error != 0) return system_error(attempted, answer->error);
  auto neighbour = answer->message == nullptr ? std::nullopt : decode_neighbour(*answer->message);
  if (!neighbour) return nonsense("neighbour").within(attempted);
  return neighbour;
}

Result<int> RouteSocket::use_neighbour(uint32_t ifindex, const IpAddress& address) {
  auto request = RtnetlinkRequest::use_neighbour(ifindex, address);
  auto answer = requests_.ask(request.message());
  if (!answer) {
    return std::move(answer).error().within(
        fmt::format("probe neighbour {} on interface {}", address.to_string(), ifindex));
  }
  return answer->error;
}

}  // namespace sluice::kernel
