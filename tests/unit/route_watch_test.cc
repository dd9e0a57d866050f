// The decoders of rtnetlink's messages and the filter of announcements, fed with messages built by hand. No
// root.
#include "kernel/route_watch.h"

#include <gtest/gtest.h>
#include <linux/if.h>
#include <linux/if_arp.h>
#include <linux/neighbour.h>
#include <linux/rtnetlink.h>
#include <sys/socket.h>

#include <chrono>
#include <cstdint>
#include <optional>
#include <random>
#include <string_view>
#include <tuple>
#include <vector>

#include "kernel/rtnetlink_message.h"

namespace sluice::kernel {
namespace {

using Clock = std::chrono::steady_clock;

const MacAddress kFar0{{2, 0, 0, 0, 0, 0xa2}}, kFar1{{2, 0, 0, 0, 0, 0xb2}};

IpAddress ip(std::string_view text) {
  auto parsed = IpAddress::parse(text);
  if (!parsed) {
    ADD_FAILURE() << parsed.error().message;
    return {};
  }
  return *parsed;
}

class MessageBuilder {
 public:
  MessageBuilder() : bytes_(NLMSG_HDRLEN) {}  // for its payload alone: a nest of attributes
  template <typename Header>
  MessageBuilder(uint16_t type, const Header& header) : MessageBuilder() {
    append(&header, sizeof(header));
    this->header().nlmsg_type = type;
  }

  MessageBuilder& attribute(uint16_t type, const void* data, size_t size) {
    const nlattr header{.nla_len = static_cast<uint16_t>(sizeof(nlattr) + size), .nla_type = type};
    append(&header, sizeof(header));
    append(data, size);
    return *this;
  }
  template <typename Number>
  MessageBuilder& number(uint16_t type, Number value) {
    return attribute(type, &value, sizeof(value));
  }
  MessageBuilder& address(uint16_t type, std::string_view text) {
    const IpAddress address = ip(text);
    return attribute(type, address.bytes.data(), address.size());
  }
  MessageBuilder& mac_address(uint16_t type, const MacAddress& address) {
    return attribute(type, address.bytes.data(), address.bytes.size());
  }

  nlmsghdr& header() {
    auto& header = *reinterpret_cast<nlmsghdr*>(bytes_.data());
    header.nlmsg_len = static_cast<uint32_t>(bytes_.size());
    return header;
  }
  const std::vector<char>& bytes() const { return bytes_; }
  const char* payload() const { return bytes_.data() + NLMSG_HDRLEN; }
  size_t payload_size() const { return bytes_.size() - NLMSG_HDRLEN; }

 private:
  void append(const void* data, size_t size) {
    const char* begin = static_cast<const char*>(data);
    bytes_.insert(bytes_.end(), begin, begin + size);
    bytes_.resize((bytes_.size() + 3) / 4 * 4);
  }
  std::vector<char> bytes_;
};

MessageBuilder link_message(uint32_t mtu, uint8_t family = AF_UNSPEC) {
  ifinfomsg header{};
  header.ifi_family = family;
  header.ifi_type = ARPHRD_ETHER;
  header.ifi_index = 3;
  header.ifi_flags = IFF_UP | IFF_RUNNING | IFF_LOWER_UP;
  MessageBuilder message(RTM_NEWLINK, header);
  message.attribute(IFLA_IFNAME, "eth1", 5).mac_address(IFLA_ADDRESS, kFar0).number<uint32_t>(IFLA_MTU, mtu);
  return message;
}

MessageBuilder route_message(std::string_view destination, uint8_t length) {
  rtmsg header{};
  header.rtm_family = ip(destination).family == Family::kV4 ? AF_INET : AF_INET6;
  header.rtm_dst_len = length;
  header.rtm_type = RTN_UNICAST;
  MessageBuilder message(RTM_NEWROUTE, header);
  if (length > 0) message.address(RTA_DST, destination);
  message.number<uint32_t>(RTA_OIF, 3);
  return message;
}

MessageBuilder neighbour_message(uint16_t state, std::optional<MacAddress> address) {
  ndmsg header{};
  header.ndm_family = AF_INET;
  header.ndm_ifindex = 3;
  header.ndm_state = state;
  MessageBuilder message(RTM_NEWNEIGH, header);
  message.address(NDA_DST, "10.1.0.2");
  if (address) message.mac_address(NDA_LLADDR, *address);
  return message;
}

TEST(RtnetlinkMessageTest, RejectsAttributesOfTheWrongSize) {
  auto link = link_message(1500);
  ASSERT_TRUE(decode_link(link.header()));
  EXPECT_EQ(decode_link(link.header())->mtu, 1500U);
  EXPECT_TRUE(decode_link(link.header())->running);
  EXPECT_FALSE(decode_link(link.number<uint16_t>(IFLA_MTU, 9000).header())) << "two bytes of MTU";

  auto route = route_message("10.0.0.0", 8);
  route.attribute(RTA_GATEWAY, "\x0a\x00", 2).attribute(RTA_VIA, "\x0a", 1);
  ASSERT_TRUE(decode_route(route.header()));
  EXPECT_FALSE(decode_route(route.header())->gateway);
  auto long_prefix = route_message("10.0.0.0", 33);
  EXPECT_FALSE(decode_route_prefix(long_prefix.header()));
  auto unaligned = route_message("10.0.0.0", 8);
  nlmsghdr& cut = unaligned.header();
  cut.nlmsg_len -= 1;
  EXPECT_FALSE(decode_route(cut)) << "libmnl would read on to the next multiple of four";
  ndmsg no_address{};
  no_address.ndm_family = AF_INET;
  no_address.ndm_ifindex = 3;
  MessageBuilder neighbour(RTM_NEWNEIGH, no_address);
  EXPECT_FALSE(decode_neighbour(neighbour.header()));
  EXPECT_FALSE(decode_link(neighbour.header())) << "another kind of message";
}

TEST(RtnetlinkMessageTest, ReadsAVlansAndAPortsNestedFacts) {
  auto vlan = link_message(1500);
  vlan.number<uint32_t>(IFLA_LINK, 9).number<uint32_t>(IFLA_MASTER, 11);
  MessageBuilder data;
  data.number<uint16_t>(IFLA_VLAN_ID, 42);
  MessageBuilder info;
  info.attribute(IFLA_INFO_KIND, "vlan", 4).attribute(IFLA_INFO_SLAVE_KIND, "bridge", 7);
  info.attribute(IFLA_INFO_DATA | NLA_F_NESTED, data.payload(), data.payload_size());
  vlan.attribute(IFLA_LINKINFO | NLA_F_NESTED, info.payload(), info.payload_size());
  auto facts = decode_link(vlan.header());
  ASSERT_TRUE(facts);
  EXPECT_EQ(facts->kind, "vlan");
  EXPECT_EQ(facts->vlan_id, 42);
  EXPECT_EQ(facts->vlan_parent, 9U);
  EXPECT_EQ(facts->master, 11U);
  EXPECT_EQ(facts->master_kind, "bridge");
  vlan.number<int32_t>(IFLA_LINK_NETNSID, 0);
  EXPECT_EQ(decode_link(vlan.header())->vlan_parent, 0U) << "the parent's index is another namespace's";
}

TEST(RtnetlinkMessageTest, ARouteThatWrapsPacketsSaysSo) {
  auto route = route_message("10.0.0.0", 8);
  EXPECT_FALSE(decode_route(route.header())->encapsulates);
  EXPECT_TRUE(decode_route(route.attribute(RTA_ENCAP | NLA_F_NESTED, "", 0).header())->encapsulates);
}

TEST(RtnetlinkMessageTest, NeverReadsBeyondAMessage) {
  std::vector<MessageBuilder> messages{link_message(1500), route_message("2001:db8::", 32),
                                       neighbour_message(NUD_REACHABLE, kFar0)};
  messages[1]
      .attribute(RTA_METRICS, "\x08\x00\x02\x00\xdc\x05\x00", 8)
      .attribute(RTA_VIA, "\x02\x00\x0a\x00\x00\x01", 6);
  std::mt19937 random(1);
  for (auto& original : messages) {
    const uint16_t type = original.header().nlmsg_type;
    for (int round = 0; round < 3000; ++round) {
      // A heap copy of the exact size, so that the address sanitizer sees a read past it.
      const size_t size = NLMSG_HDRLEN + random() % (original.bytes().size() - NLMSG_HDRLEN + 1);
      std::vector<char> copy(original.bytes().begin(), original.bytes().begin() + static_cast<long>(size));
      copy.shrink_to_fit();
      if (size > NLMSG_HDRLEN)
        copy[NLMSG_HDRLEN + random() % (size - NLMSG_HDRLEN)] = static_cast<char>(random());
      auto& header = *reinterpret_cast<nlmsghdr*>(copy.data());
      header.nlmsg_len = static_cast<uint32_t>(size);
      header.nlmsg_type = type;
      RouteWatch watch;
      (void)decode_route(header);
      (void)watch.concerns(header);
    }
  }
  SUCCEED() << "nothing read out of bounds (meaningful under the address sanitizer)";
}

TEST(RouteWatchTest, ARouteConcernsOnlyTheDestinationsItCovers) {
  RouteWatch watch;
  const auto now = Clock::now();
  EXPECT_FALSE(watch.concerns(route_message("10.0.0.0", 8).header()));
  watch.asked_destination(ip("10.77.0.5"), now);
  watch.asked_destination(ip("2001:db8:1::5"), now);
  for (const auto& [prefix, length, expected] :
       std::vector<std::tuple<const char*, uint8_t, bool>>{{"10.0.0.0", 8, true},
                                                           {"10.77.0.4", 30, true},
                                                           {"10.77.0.5", 32, true},
                                                           {"10.77.0.6", 31, false},
                                                           {"10.77.0.8", 29, false},
                                                           {"10.76.0.0", 16, false},
                                                           {"0.0.0.0", 0, true},
                                                           {"128.0.0.0", 1, false},
                                                           {"::", 0, true},
                                                           {"2001:db8:1::", 64, true},
                                                           {"2001:db8:2::", 64, false},
                                                           {"2001:db8::", 45, true},
                                                           {"2001:db8:1::4", 127, true},
                                                           {"2001:db8:1::6", 127, false}}) {
    EXPECT_EQ(watch.concerns(route_message(prefix, length).header()), expected)
        << prefix << "/" << int{length};
  }
}

TEST(RouteWatchTest, ABridgesViewOfAPortDoesNotReplaceTheLinks) {
  RouteWatch watch;
  watch.answered_link(*decode_link(link_message(1500).header()));
  EXPECT_FALSE(watch.concerns(link_message(1500, AF_BRIDGE).header()));
  EXPECT_FALSE(watch.concerns(link_message(1400, AF_BRIDGE).header()));
  EXPECT_FALSE(watch.concerns(link_message(1500).header()));
  EXPECT_TRUE(watch.concerns(link_message(1400).header()));
}

TEST(RouteWatchTest, ANeighboursNewsIsToldOnceUntilItIsAskedAboutAgain) {
  RouteWatch watch;
  const auto now = Clock::now();
  const auto resolved = [](const MacAddress& address) {
    return RouteWatch::NeighbourAnswer{RouteWatch::Neighbour::kResolved, address};
  };
  EXPECT_FALSE(watch.concerns(neighbour_message(NUD_REACHABLE, kFar0).header())) << "nobody asked";
  watch.answered_neighbour(3, ip("10.1.0.2"), resolved(kFar0), now);
  for (const int state : {NUD_REACHABLE, NUD_STALE, NUD_DELAY, NUD_PROBE, NUD_PERMANENT}) {
    EXPECT_FALSE(watch.concerns(neighbour_message(static_cast<uint16_t>(state), kFar0).header())) << state;
  }
  EXPECT_TRUE(watch.concerns(neighbour_message(NUD_STALE, kFar1).header()));
  EXPECT_FALSE(watch.concerns(neighbour_message(NUD_FAILED, std::nullopt).header())) << "told already";
  watch.answered_neighbour(3, ip("10.1.0.2"), resolved(kFar1), now);
  EXPECT_TRUE(watch.concerns(neighbour_message(NUD_FAILED, std::nullopt).header()));
}

TEST(RouteWatchTest, ForgetsWhatIsNoLongerAsked) {
  RouteWatch watch;
  const auto start = Clock::now();
  watch.asked_destination(ip("10.77.0.5"), start);
  watch.answered_neighbour(3, ip("10.77.0.5"), {}, start);
  watch.asked_destination(ip("10.78.0.5"), start + RouteWatch::kForgetAfter / 2);
  watch.asked_destination(ip("10.78.0.5"), start + RouteWatch::kForgetAfter * 2);
  EXPECT_FALSE(watch.concerns(route_message("10.77.0.5", 32).header()));
  EXPECT_TRUE(watch.concerns(route_message("10.78.0.5", 32).header()));
  EXPECT_FALSE(watch.last_neighbour_answer(3, ip("10.77.0.5")));
}

}  // namespace
}  // namespace sluice::kernel
