// Where a backend's packets leave this node: its next hop, from the kernel's own routes and neighbours.
//
// Everything is seen from the network namespace of the thread that called open(), for good. One thread at a
// time.
//
// How to use it: wait for event_fd() to be readable; call drain_events(); when it is true, resolve() every
// destination again (soon, and once for a burst). Besides, resolve() every destination each few seconds,
// whatever the events say: packets that leave through XDP do not tell the kernel that a neighbour is in use,
// so resolve() does it for them, and learned path MTUs change without an event. At least every
// RouteWatch::kForgetAfter, or events about it stop.
//
// What resolve() does about each state of a neighbour (RFC 4861 section 7.3.2, which Linux follows for ARP,
// too):
//   permanent, no-ARP, reachable   usable; left alone
//   delay, probe                   usable; left alone, the kernel is verifying it
//   stale                          usable; poked: after delay_first_probe_time (5 s) the kernel asks the
//   neighbour
//                                  itself and finds it reachable or, after three unanswered probes, failed
//   incomplete                     left alone, the kernel is asking
//   failed, unknown                poked: the kernel asks all of the segment, three times a second apart
// A poke never shortens the kernel's own timers, and one that comes too early does nothing, so calling
// resolve() at any rate is safe for the network: one broadcast a second for a dead neighbour, one unicast
// probe in about half a minute for a living one. A neighbour that dies in silence is noticed within some 55
// s; health checks are faster.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/address.h"
#include "base/result.h"
#include "kernel/netlink_socket.h"
#include "kernel/route_watch.h"
#include "kernel/rtnetlink_message.h"

namespace sluice::kernel {

enum class NextHopState {
  kResolved,
  kNeighbourPending,  // the neighbour's MAC is not known (any more); the kernel is asking for it
  kNeighbourFailed,   // the neighbour did not answer; the kernel is made to ask again by each resolve()
  kNoRoute,           // no route, or one that refuses packets, or the destination is not a unicast address
  kLinkDown,          // the route's interface is down, without carrier, or was just deleted
  kLocal,             // the destination is an address of this node
  kUnsupportedLink,   // not Ethernet, or without neighbour discovery, or the route wraps packets in a tunnel
};

std::string_view to_string(NextHopState);  // "resolved", "neighbour-pending", …

// In states other than kResolved, what is known; the rest is zero or empty.
struct NextHop {
  NextHopState state = NextHopState::kNoRoute;
  uint32_t ifindex = 0;
  std::string interface;
  MacAddress source_mac;
  MacAddress destination_mac;  // kNeighbourPending: the last that was known, else zero
  IpAddress source_address;  // what the kernel would choose; unspecified if the node has none of that family
  std::optional<IpAddress> gateway;  // may be IPv6 for an IPv4 destination
  uint32_t mtu = 0;                  // bytes of a layer-3 packet: the route's, if it is below the link's
  std::string detail;                // for people: "via 10.0.0.254 on eth1", "no route to 10.0.0.1"

  bool operator==(const NextHop&) const = default;
};

class RouteSocket {
 public:
  // Subscribes before it returns, so no change after an answer is missed.
  static Result<RouteSocket> open();

  int event_fd() const { return events_.fd(); }  // non-blocking; owned by this object
  // Reads all that is pending. True if an answer given before may differ now, or if announcements were lost.
  bool drain_events();

  // `destination` must not be link-local: it does not say which link. With `fixed_destination_mac` the
  // neighbour is not looked at, the route and the link are. States of the world are in the NextHop; an Error
  // means that netlink itself failed (kPermission: CAP_NET_ADMIN is missing) or did not answer within 2 s,
  // and nothing is known.
  Result<NextHop> resolve(const IpAddress& destination, std::optional<MacAddress> fixed_destination_mac);

  // Tells the kernel that the neighbour is in use, as resolve() does. Nothing happens to one that is
  // reachable or was entered by hand. kNotFound or kUnavailable: the interface does not exist, or is down;
  // kNoSpace: the kernel's neighbour table is full.
  Result<> probe(uint32_t ifindex, const IpAddress& neighbour);

  // kNotFound if there is none.
  Result<LinkFacts> link(uint32_t ifindex);
  Result<LinkFacts> link(std::string_view name);

 private:
  RouteSocket(NetlinkRequester requests, NetlinkListener events);

  // Each fills its part of the next hop; false: the state is final.
  Result<bool> fill_from_route(const IpAddress& destination, NextHop& hop);
  Result<bool> fill_from_link(NextHop& hop, LinkFacts& link);
  Result<> fill_from_neighbour(const IpAddress& neighbour, const LinkFacts& link, NextHop& hop);
  Result<> await_neighbour(const IpAddress& neighbour, const std::optional<NeighbourFacts>& facts,
                           NextHop& hop);

  Result<std::optional<LinkFacts>> find_link(RtnetlinkRequest request);
  Result<std::optional<NeighbourFacts>> find_neighbour(uint32_t ifindex, const IpAddress& address);
  Result<int> use_neighbour(uint32_t ifindex,
                            const IpAddress& address);  // the errno of the kernel's refusal, or 0

  NetlinkRequester requests_;
  NetlinkListener events_;
  RouteWatch watch_;
};

}  // namespace sluice::kernel
