// rtnetlink's messages as plain structs: requests are built, replies and events are decoded.
//
// Pure: no sockets, no state. The decoders believe nothing about a message that mnl_nlmsg_ok() has accepted:
// every header and attribute is checked against its length. They return nothing for a message that is not of
// their kind or lacks what its struct needs. Addresses and MACs are in network byte order, numbers in host
// order.
#pragma once

#include <linux/netlink.h>

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/address.h"

namespace sluice::kernel {

// What the agent needs to know of a network interface.
struct LinkFacts {
  uint32_t ifindex = 0;
  std::string name;
  bool ethernet = false;  // frames carry an Ethernet header; `mac` holds its address
  MacAddress mac;
  uint32_t mtu = 0;      // bytes of a layer-3 packet
  bool up = false;       // an administrator wants it up
  bool running = false;  // up, with a carrier, and operational (802.1X, bond and bridge state included)
  bool resolves_neighbours = true;  // false: IFF_NOARP, so only neighbours entered by hand have a MAC
  std::string kind;                 // "vlan", "bond", "bridge", "veth", …; empty for hardware
  uint32_t master = 0;              // ifindex of the bond, bridge or VRF that it is a port of; 0: none
  std::string master_kind;          // "bond", "bridge", "vrf"; empty: none
  uint32_t vlan_parent = 0;  // kind "vlan": the ifindex below it; 0: another kind, or in another namespace
  uint16_t vlan_id = 0;      // kind "vlan"

  bool operator==(const LinkFacts&) const = default;
};

// The kernel's answer to "where does a packet to this address go?".
struct RouteFacts {
  uint8_t type = 0;                  // RTN_*
  uint32_t ifindex = 0;              // 0: none
  std::optional<IpAddress> gateway;  // may be IPv6 for an IPv4 destination (RFC 8950)
  std::optional<IpAddress> source;   // the source address the kernel would choose
  uint32_t mtu = 0;                  // bytes: the route's metric or a learned path MTU; 0: none
  bool encapsulates = false;         // a lightweight tunnel (MPLS, SRv6, …) would wrap the packet
};

struct NeighbourFacts {
  uint32_t ifindex = 0;
  IpAddress address;
  uint16_t state = 0;  // NUD_*
  MacAddress mac;      // zero: not known

  // The MAC to send to, if there is one now. A neighbour being probed or gone stale still has it.
  std::optional<MacAddress> usable_mac() const;
  bool failed() const;
  bool managed_by_hand() const;  // permanent or no-ARP: the kernel never asks
};

// Decode RTM_NEWLINK and RTM_DELLINK; RTM_NEWROUTE and RTM_DELROUTE; RTM_NEWNEIGH and RTM_DELNEIGH. Only IPv4
// and IPv6 routes and neighbours; a bridge's view of its ports (AF_BRIDGE) is neither a link nor a neighbour.
std::optional<LinkFacts> decode_link(const nlmsghdr& message);
std::optional<RouteFacts> decode_route(const nlmsghdr& message);
std::optional<IpPrefix> decode_route_prefix(
    const nlmsghdr& message);  // the destinations that the route covers
std::optional<NeighbourFacts> decode_neighbour(const nlmsghdr& message);

// One request, ready to send but for its sequence number.
class RtnetlinkRequest {
 public:
  static RtnetlinkRequest route_to(const IpAddress& destination);
  static RtnetlinkRequest link(uint32_t ifindex);
  static RtnetlinkRequest link(std::string_view name);  // shorter than IFNAMSIZ
  static RtnetlinkRequest neighbour(uint32_t ifindex, const IpAddress& address);
  // Tells the kernel that the neighbour is in use, creating it if need be; acknowledged. Not for entries made
  // by hand: since 5.16 it takes NUD_PERMANENT away from them.
  static RtnetlinkRequest use_neighbour(uint32_t ifindex, const IpAddress& address);

  nlmsghdr& message() { return *reinterpret_cast<nlmsghdr*>(buffer_.data()); }

 private:
  RtnetlinkRequest(uint16_t type, uint16_t flags);
  template <typename Header>
  Header& put_header();
  void put_address(uint16_t attribute, const IpAddress& address);

  // The largest request is a neighbour's: two headers and one address, 64 bytes.
  alignas(nlmsghdr) std::array<char, 256> buffer_{};
};

}  // namespace sluice::kernel
