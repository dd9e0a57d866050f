// A backend's entry, byte by byte: what the program puts in front of a packet must be right before any packet
// comes.
#include "dataplane/backend_entry.h"

#include <gtest/gtest.h>

#include <cstring>
#include <span>

namespace sluice::dataplane {
namespace {

using Bytes = std::vector<uint8_t>;

IpAddress ip(std::string_view text) {
  return *IpAddress::parse(text);
}

Path path_from(std::string_view source) {
  return {7, *MacAddress::parse("02:00:00:00:00:01"), *MacAddress::parse("02:00:00:00:00:02"), ip(source),
          1500};
}

Bytes header_of(const sl_backend& entry, size_t from, size_t to) {
  return {entry.header + from, entry.header + to};
}

// RFC 1071, by the book: 16-bit words in network order.
uint16_t internet_checksum(std::span<const uint8_t> bytes) {
  uint32_t sum = 0;
  for (size_t i = 0; i < bytes.size(); i += 2) sum += static_cast<uint32_t>(bytes[i] << 8 | bytes[i + 1]);
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >> 16);
  return static_cast<uint16_t>(~sum);
}

TEST(BackendEntry, HoldsAnEthernetAndIpv4HeaderReadyToSend) {
  const sl_backend entry = make_backend_entry(3, ip("10.0.0.11"), Family::kV4, {}, path_from("10.0.0.1"));
  EXPECT_EQ(entry.state, SL_BACKEND_UP);
  EXPECT_EQ(entry.service_id, 3u);
  EXPECT_EQ(entry.ifindex, 7u);
  EXPECT_EQ(entry.mtu, 1500);
  EXPECT_EQ(entry.header_size, SL_HEADER_IPV4);
  EXPECT_EQ(header_of(entry, 0, SL_HEADER_IPV4),
            (Bytes{2,    0, 0, 0, 0,  2, 2, 0, 0,  0, 0, 1, 0x08, 0x00,  // to, from, IPv4
                   0x45, 0, 0, 0, 0,  0, 0, 0, 64, 4, 0, 0,  // version, length, id, fragment, TTL, IPIP
                   10,   0, 0, 1, 10, 0, 0, 11}));
  EXPECT_EQ(header_of(entry, SL_HEADER_IPV4, SL_HEADER_CAPACITY), Bytes(SL_HEADER_CAPACITY - SL_HEADER_IPV4));
}

TEST(BackendEntry, HoldsAnEthernetAndIpv6HeaderReadyToSend) {
  const sl_backend entry =
      make_backend_entry(3, ip("2001:db8:b::11"), Family::kV6, {}, path_from("2001:db8:b::1"));
  EXPECT_EQ(entry.state, SL_BACKEND_UP);
  EXPECT_EQ(entry.header_size, SL_HEADER_IPV6);
  EXPECT_EQ(
      header_of(entry, 0, SL_HEADER_IPV6),
      (Bytes{2,    0,    0,    0,    0, 2,    2,  0,  0, 0, 0, 1, 0x86, 0xdd,        // to, from, IPv6
             0x60, 0,    0,    0,    0, 0,    41, 64,                                // length, next, hops
             0x20, 0x01, 0x0d, 0xb8, 0, 0x0b, 0,  0,  0, 0, 0, 0, 0,    0,    0, 1,  // source
             0x20, 0x01, 0x0d, 0xb8, 0, 0x0b, 0,  0,  0, 0, 0, 0, 0,    0,    0, 0x11}));  // destination
  EXPECT_EQ(entry.checksum, 0);
}

TEST(BackendEntry, SaysWhatIsInsideTheTunnel) {
  const auto protocol4 = [](Family inner) {
    return make_backend_entry(1, ip("10.0.0.11"), inner, {}, path_from("10.0.0.1")).header[14 + 9];
  };
  const auto next6 = [](Family inner) {
    return make_backend_entry(1, ip("2001:db8::11"), inner, {}, path_from("2001:db8::1")).header[14 + 6];
  };
  EXPECT_EQ(protocol4(Family::kV4), 4);
  EXPECT_EQ(protocol4(Family::kV6), 41);
  EXPECT_EQ(next6(Family::kV4), 4);
  EXPECT_EQ(next6(Family::kV6), 41);
}

// What the program does: adds the total length to the sum, folds, complements.
TEST(BackendEntry, CarriesTheSumFromWhichEveryIpv4ChecksumFollows) {
  for (const auto* backend : {"10.0.0.11", "255.255.255.254", "203.0.113.200", "1.0.0.0"}) {
    const sl_backend entry = make_backend_entry(1, ip(backend), Family::kV4, {}, path_from("198.51.100.77"));
    for (const int length : {20, 40, 1500, 65535}) {
      Bytes outer = header_of(entry, 14, SL_HEADER_IPV4);
      outer[2] = static_cast<uint8_t>(length >> 8);
      outer[3] = static_cast<uint8_t>(length);
      uint16_t length_in_memory;
      std::memcpy(&length_in_memory, outer.data() + 2, sizeof length_in_memory);
      uint32_t sum = uint32_t{entry.checksum} + length_in_memory;
      sum = (sum & 0xffff) + (sum >> 16);
      sum = (sum & 0xffff) + (sum >> 16);
      const auto quick = static_cast<uint16_t>(~sum);
      std::memcpy(outer.data() + 10, &quick, sizeof quick);
      EXPECT_EQ(internet_checksum(outer), 0) << backend << " " << length;
    }
  }
}

TEST(BackendEntry, PrefersTheConfiguredSource) {
  model::Encapsulation encapsulation;
  encapsulation.source4 = *IpPrefix::parse("192.0.2.10");
  encapsulation.source6 = *IpPrefix::parse("2001:db8:5::/64");
  const Path path4 = path_from("10.0.0.1"), path6 = path_from("2001:db8::1");
  EXPECT_EQ(outer_source(Family::kV4, encapsulation, path4), ip("192.0.2.10"));
  EXPECT_EQ(outer_source(Family::kV6, encapsulation, path6), ip("2001:db8:5::"));
  EXPECT_EQ(outer_source(Family::kV4, {}, path4), ip("10.0.0.1"));
  EXPECT_EQ(outer_source(Family::kV6, {}, path6), ip("2001:db8::1"));
  const sl_backend entry = make_backend_entry(1, ip("10.0.0.11"), Family::kV4, encapsulation, path4);
  EXPECT_EQ(header_of(entry, 26, 30), (Bytes{192, 0, 2, 10}));
}

TEST(BackendEntry, HasNoSourceWhereNeitherTheConfigurationNorTheRouteGivesOne) {
  EXPECT_EQ(outer_source(Family::kV6, {}, path_from("10.0.0.1")), std::nullopt)
      << "the route's is of another family";
  EXPECT_EQ(outer_source(Family::kV4, {}, path_from("2001:db8::1")), std::nullopt);
  EXPECT_EQ(outer_source(Family::kV4, {}, path_from("0.0.0.0")), std::nullopt);
  EXPECT_EQ(outer_source(Family::kV6, {}, path_from("::")), std::nullopt);
}

TEST(BackendEntry, IsUnresolvedAndEmptyWithoutPathOrSource) {
  for (const auto& path : {std::optional<Path>{}, std::optional(path_from("0.0.0.0"))}) {
    const sl_backend entry = make_backend_entry(9, ip("10.0.0.11"), Family::kV4, {}, path);
    EXPECT_EQ(entry.state, SL_BACKEND_UNRESOLVED);
    EXPECT_EQ(entry.service_id, 9u);
    EXPECT_EQ(address_of(entry), ip("10.0.0.11"));
    EXPECT_EQ(entry.header_size, 0);
    EXPECT_EQ(entry.ifindex, 0u);
    EXPECT_EQ(header_of(entry, 0, SL_HEADER_CAPACITY), Bytes(SL_HEADER_CAPACITY));
  }
}

TEST(BackendEntry, KnowsItsAddressInBothFamilies) {
  for (const auto* text : {"10.0.0.11", "2001:db8::11", "a00:b::"}) {
    const Path path = path_from(ip(text).family == Family::kV4 ? "10.0.0.1" : "2001:db8::1");
    EXPECT_EQ(address_of(make_backend_entry(1, ip(text), Family::kV4, {}, path)), ip(text));
  }
}

TEST(BackendEntry, CutsAnMtuThatDoesNotFit) {
  Path path = path_from("10.0.0.1");
  path.mtu = 65536;  // the loopback's
  EXPECT_EQ(make_backend_entry(1, ip("10.0.0.11"), Family::kV4, {}, path).mtu, 65535);
}

// The applier writes an entry only when its bytes differ, so bytes that mean nothing must not.
TEST(BackendEntry, IsTheSameBytesForTheSameInput) {
  alignas(sl_backend) uint8_t places[2][sizeof(sl_backend)];
  for (const int dirt : {0, 1}) {
    std::memset(places[dirt], dirt == 0 ? 0x00 : 0xff, sizeof(sl_backend));
    new (places[dirt])
        sl_backend(make_backend_entry(1, ip("10.0.0.11"), Family::kV4, {}, path_from("10.0.0.1")));
  }
  EXPECT_EQ(std::memcmp(places[0], places[1], sizeof(sl_backend)), 0);
}

}  // namespace
}  // namespace sluice::dataplane
