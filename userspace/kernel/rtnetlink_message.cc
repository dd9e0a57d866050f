#include "kernel/rtnetlink_message.h"

#include <libmnl/libmnl.h>
#include <linux/if.h>
#include <linux/if_arp.h>
#include <linux/if_link.h>
#include <linux/neighbour.h>
#include <linux/rtnetlink.h>
#include <sys/socket.h>

#include <algorithm>
#include <cassert>
#include <cstring>

namespace sluice::kernel {
namespace {

// The attributes of a message or of a nest, by type. Holds pointers into the message.
class Attributes {
 public:
  Attributes(const nlmsghdr& message, size_t header_size) {
    mnl_attr_parse(&message, static_cast<unsigned>(header_size), &Attributes::remember, this);
  }
  explicit Attributes(const nlattr* nest) {
    if (nest != nullptr) mnl_attr_parse_nested(nest, &Attributes::remember, this);
  }

  const nlattr* find(uint16_t type) const { return by_type_[type]; }

  std::optional<uint32_t> u32(uint16_t type) const {
    const nlattr* attribute = find(type);
    if (attribute == nullptr || mnl_attr_validate(attribute, MNL_TYPE_U32) < 0) return std::nullopt;
    return mnl_attr_get_u32(attribute);
  }

  std::optional<uint16_t> u16(uint16_t type) const {
    const nlattr* attribute = find(type);
    if (attribute == nullptr || mnl_attr_validate(attribute, MNL_TYPE_U16) < 0) return std::nullopt;
    return mnl_attr_get_u16(attribute);
  }

  std::string text(uint16_t type) const {
    const nlattr* attribute = find(type);
    if (attribute == nullptr) return {};
    const char* begin = static_cast<const char*>(mnl_attr_get_payload(attribute));
    return {begin, strnlen(begin, mnl_attr_get_payload_len(attribute))};
  }

  std::optional<IpAddress> address(uint16_t type, Family family) const {
    const nlattr* attribute = find(type);
    if (attribute == nullptr) return std::nullopt;
    return to_address(mnl_attr_get_payload(attribute), mnl_attr_get_payload_len(attribute), family);
  }

  std::optional<MacAddress> mac(uint16_t type) const {
    const nlattr* attribute = find(type);
    MacAddress result;
    if (attribute == nullptr || mnl_attr_get_payload_len(attribute) != result.bytes.size())
      return std::nullopt;
    std::memcpy(result.bytes.data(), mnl_attr_get_payload(attribute), result.bytes.size());
    return result;
  }

  static std::optional<IpAddress> to_address(const void* bytes, size_t length, Family family) {
    IpAddress result;
    result.family = family;
    if (length != result.size()) return std::nullopt;
    std::memcpy(result.bytes.data(), bytes, length);
    return result;
  }

 private:
  static int remember(const nlattr* attribute, void* self) {
    auto& by_type = static_cast<Attributes*>(self)->by_type_;
    const uint16_t type = mnl_attr_get_type(attribute);
    if (type < by_type.size()) by_type[type] = attribute;  // newer kernels add types; we know what we need
    return MNL_CB_OK;
  }

  std::array<const nlattr*, 128> by_type_{};
};

// libmnl rounds a message's length up to 4 before it looks for attributes, so a length that is not a
// multiple, which the kernel never sends, would let it read beyond the end.
template <typename Header>
const Header* header_of(const nlmsghdr& message) {
  if (message.nlmsg_len % NLMSG_ALIGNTO != 0) return nullptr;
  if (mnl_nlmsg_get_payload_len(&message) < sizeof(Header)) return nullptr;
  return static_cast<const Header*>(mnl_nlmsg_get_payload(&message));
}

std::optional<Family> family_of(uint8_t address_family) {
  if (address_family == AF_INET) return Family::kV4;
  if (address_family == AF_INET6) return Family::kV6;
  return std::nullopt;
}

uint8_t address_family_of(const IpAddress& address) {
  return address.family == Family::kV4 ? AF_INET : AF_INET6;
}

void decode_link_kind(const Attributes& link, LinkFacts& facts) {
  const Attributes info(link.find(IFLA_LINKINFO));
  facts.kind = info.text(IFLA_INFO_KIND);
  if (facts.master != 0) facts.master_kind = info.text(IFLA_INFO_SLAVE_KIND);
  if (facts.kind != "vlan") return;
  facts.vlan_id = Attributes(info.find(IFLA_INFO_DATA)).u16(IFLA_VLAN_ID).value_or(0);
  const bool parent_is_here = link.find(IFLA_LINK_NETNSID) == nullptr;
  if (parent_is_here) facts.vlan_parent = link.u32(IFLA_LINK).value_or(0);
}

// struct rtvia: a family in host order, then an address of that family.
std::optional<IpAddress> decode_via(const nlattr* via) {
  uint16_t address_family = 0;
  if (via == nullptr || mnl_attr_get_payload_len(via) < sizeof(address_family)) return std::nullopt;
  const char* bytes = static_cast<const char*>(mnl_attr_get_payload(via));
  std::memcpy(&address_family, bytes, sizeof(address_family));
  if (address_family > UINT8_MAX) return std::nullopt;
  const auto family = family_of(static_cast<uint8_t>(address_family));
  if (!family) return std::nullopt;
  return Attributes::to_address(bytes + sizeof(address_family),
                                mnl_attr_get_payload_len(via) - sizeof(address_family), *family);
}

bool is_route(const nlmsghdr& message) {
  return message.nlmsg_type == RTM_NEWROUTE || message.nlmsg_type == RTM_DELROUTE;
}

}  // namespace

std::optional<MacAddress> NeighbourFacts::usable_mac() const {
  constexpr uint16_t kHasMac = NUD_REACHABLE | NUD_STALE | NUD_DELAY | NUD_PROBE | NUD_PERMANENT | NUD_NOARP;
  if ((state & kHasMac) == 0 || mac.is_zero()) return std::nullopt;
  return mac;
}

bool NeighbourFacts::failed() const {
  return (state & NUD_FAILED) != 0;
}

bool NeighbourFacts::managed_by_hand() const {
  return (state & (NUD_PERMANENT | NUD_NOARP)) != 0;
}

std::optional<LinkFacts> decode_link(const nlmsghdr& message) {
  if (message.nlmsg_type != RTM_NEWLINK && message.nlmsg_type != RTM_DELLINK) return std::nullopt;
  const auto* header = header_of<ifinfomsg>(message);
  if (header == nullptr || header->ifi_family != AF_UNSPEC || header->ifi_index <= 0) return std::nullopt;
  const Attributes attributes(message, sizeof(*header));
  const auto mtu = attributes.u32(IFLA_MTU);
  LinkFacts facts;
  facts.name = attributes.text(IFLA_IFNAME);
  if (!mtu || facts.name.empty()) return std::nullopt;  // e.g. a wireless event, which carries a name alone
  facts.ifindex = static_cast<uint32_t>(header->ifi_index);
  facts.mtu = *mtu;
  const auto mac = attributes.mac(IFLA_ADDRESS);
  facts.ethernet = header->ifi_type == ARPHRD_ETHER && mac.has_value();
  if (facts.ethernet) facts.mac = *mac;
  facts.up = (header->ifi_flags & IFF_UP) != 0;
  // IFF_LOWER_UP is the carrier now; IFF_RUNNING is the operational state, which may lag it by a second.
  facts.running =
      facts.up && (header->ifi_flags & IFF_LOWER_UP) != 0 && (header->ifi_flags & IFF_RUNNING) != 0;
  facts.resolves_neighbours = (header->ifi_flags & IFF_NOARP) == 0;
  facts.master = attributes.u32(IFLA_MASTER).value_or(0);
  decode_link_kind(attributes, facts);
  return facts;
}

std::optional<RouteFacts> decode_route(const nlmsghdr& message) {
  const auto* header = header_of<rtmsg>(message);
  if (!is_route(message) || header == nullptr) return std::nullopt;
  const auto family = family_of(header->rtm_family);
  if (!family) return std::nullopt;
  const Attributes attributes(message, sizeof(*header));
  RouteFacts facts;
  facts.type = header->rtm_type;
  facts.ifindex = attributes.u32(RTA_OIF).value_or(0);
  facts.gateway = attributes.address(RTA_GATEWAY, *family);
  if (!facts.gateway) facts.gateway = decode_via(attributes.find(RTA_VIA));
  facts.source = attributes.address(RTA_PREFSRC, *family);
  facts.mtu = Attributes(attributes.find(RTA_METRICS)).u32(RTAX_MTU).value_or(0);
  facts.encapsulates = attributes.find(RTA_ENCAP) != nullptr;
  return facts;
}

std::optional<IpPrefix> decode_route_prefix(const nlmsghdr& message) {
  const auto* header = header_of<rtmsg>(message);
  if (!is_route(message) || header == nullptr) return std::nullopt;
  const auto family = family_of(header->rtm_family);
  if (!family) return std::nullopt;
  IpPrefix prefix{.address = {.family = *family, .bytes = {}}, .length = header->rtm_dst_len};
  if (prefix.length > prefix.address.size() * 8) return std::nullopt;
  if (prefix.length == 0) return prefix;
  const auto address = Attributes(message, sizeof(*header)).address(RTA_DST, *family);
  if (!address) return std::nullopt;
  prefix.address = *address;
  return prefix;
}

std::optional<NeighbourFacts> decode_neighbour(const nlmsghdr& message) {
  if (message.nlmsg_type != RTM_NEWNEIGH && message.nlmsg_type != RTM_DELNEIGH) return std::nullopt;
  const auto* header = header_of<ndmsg>(message);
  if (header == nullptr || header->ndm_ifindex <= 0) return std::nullopt;
  const auto family = family_of(header->ndm_family);
  if (!family) return std::nullopt;
  const Attributes attributes(message, sizeof(*header));
  const auto address = attributes.address(NDA_DST, *family);
  if (!address) return std::nullopt;
  return NeighbourFacts{.ifindex = static_cast<uint32_t>(header->ndm_ifindex),
                        .address = *address,
                        .state = header->ndm_state,
                        .mac = attributes.mac(NDA_LLADDR).value_or(MacAddress{})};
}

RtnetlinkRequest::RtnetlinkRequest(uint16_t type, uint16_t flags) {
  nlmsghdr* header = mnl_nlmsg_put_header(buffer_.data());
  header->nlmsg_type = type;
  header->nlmsg_flags = static_cast<uint16_t>(NLM_F_REQUEST | flags);
}

template <typename Header>
Header& RtnetlinkRequest::put_header() {
  return *static_cast<Header*>(mnl_nlmsg_put_extra_header(&message(), sizeof(Header)));
}

void RtnetlinkRequest::put_address(uint16_t attribute, const IpAddress& address) {
  mnl_attr_put(&message(), attribute, address.size(), address.bytes.data());
}

RtnetlinkRequest RtnetlinkRequest::route_to(const IpAddress& destination) {
  RtnetlinkRequest request(RTM_GETROUTE, 0);
  auto& header = request.put_header<rtmsg>();
  header.rtm_family = address_family_of(destination);
  header.rtm_dst_len = static_cast<uint8_t>(destination.size() * 8);
  request.put_address(RTA_DST, destination);
  return request;
}

RtnetlinkRequest RtnetlinkRequest::link(uint32_t ifindex) {
  RtnetlinkRequest request(RTM_GETLINK, 0);
  request.put_header<ifinfomsg>().ifi_index = static_cast<int>(ifindex);
  mnl_attr_put_u32(&request.message(), IFLA_EXT_MASK, RTEXT_FILTER_SKIP_STATS);
  return request;
}

RtnetlinkRequest RtnetlinkRequest::link(std::string_view name) {
  assert(name.size() < IFNAMSIZ);
  RtnetlinkRequest request(RTM_GETLINK, 0);
  request.put_header<ifinfomsg>();
  std::array<char, IFNAMSIZ> text{};
  std::copy_n(name.begin(), std::min(name.size(), text.size() - 1), text.begin());
  mnl_attr_put_strz(&request.message(), IFLA_IFNAME, text.data());
  mnl_attr_put_u32(&request.message(), IFLA_EXT_MASK, RTEXT_FILTER_SKIP_STATS);
  return request;
}

RtnetlinkRequest RtnetlinkRequest::neighbour(uint32_t ifindex, const IpAddress& address) {
  RtnetlinkRequest request(RTM_GETNEIGH, 0);
  auto& header = request.put_header<ndmsg>();
  header.ndm_family = address_family_of(address);
  header.ndm_ifindex = static_cast<int>(ifindex);
  request.put_address(NDA_DST, address);
  return request;
}

RtnetlinkRequest RtnetlinkRequest::use_neighbour(uint32_t ifindex, const IpAddress& address) {
  RtnetlinkRequest request(RTM_NEWNEIGH, NLM_F_CREATE | NLM_F_ACK);
  auto& header = request.put_header<ndmsg>();
  header.ndm_family = address_family_of(address);
  header.ndm_ifindex = static_cast<int>(ifindex);
  header.ndm_state = NUD_NONE;
  header.ndm_flags = NTF_USE;
  request.put_address(NDA_DST, address);
  return request;
}

}  // namespace sluice::kernel
