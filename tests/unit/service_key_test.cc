// A service's key as the data plane spells it: every byte is compared in a hash map, so every byte counts.
#include "dataplane/service_key.h"

#include <gtest/gtest.h>

#include <array>
#include <cstring>

namespace sluice::dataplane {
namespace {

ServiceKey key(std::string_view vip, model::Protocol protocol = model::Protocol::kTcp) {
  return {*Endpoint::parse(vip), protocol};
}

template <typename Raw>
auto bytes_of(const Raw& raw) {
  std::array<uint8_t, sizeof(Raw)> bytes;
  std::memcpy(bytes.data(), &raw, sizeof raw);
  return bytes;
}

TEST(ServiceKey, LiesInAnIpv4TableInNetworkOrder) {
  EXPECT_EQ(bytes_of(key("192.0.2.1:80").to_key4()), (std::array<uint8_t, 8>{192, 0, 2, 1, 0, 80, 6, 0}));
  EXPECT_EQ(bytes_of(key("192.0.2.1:*", model::Protocol::kUdp).to_key4()),
            (std::array<uint8_t, 8>{192, 0, 2, 1, 0, 0, 17, 0}));
}

TEST(ServiceKey, LiesInAnIpv6TableInNetworkOrder) {
  EXPECT_EQ(bytes_of(key("[2001:db8::1]:8443").to_key6()),
            (std::array<uint8_t, 20>{0x20, 0x01, 0x0d, 0xb8, 0, 0, 0,    0,    0, 0,
                                     0,    0,    0,    0,    0, 1, 0x20, 0xfb, 6, 0}));
}

TEST(ServiceKey, ComesBackFromATable) {
  for (const auto vip : {"192.0.2.1:80", "198.51.100.255:65535", "10.1.2.3:*"})
    for (const auto protocol : {model::Protocol::kTcp, model::Protocol::kUdp})
      EXPECT_EQ(ServiceKey::from(key(vip, protocol).to_key4()), key(vip, protocol)) << vip;
  for (const auto vip : {"[2001:db8::1]:53", "[fd00:1:2:3:4:5:6:7]:65535", "[2001:db8::]:*"})
    for (const auto protocol : {model::Protocol::kTcp, model::Protocol::kUdp})
      EXPECT_EQ(ServiceKey::from(key(vip, protocol).to_key6()), key(vip, protocol)) << vip;
}

TEST(ServiceKey, TellsServicesApartByAddressPortAndProtocolAlone) {
  EXPECT_NE(key("192.0.2.1:80"), key("192.0.2.2:80"));
  EXPECT_NE(key("192.0.2.1:80"), key("192.0.2.1:81"));
  EXPECT_NE(key("192.0.2.1:80"), key("192.0.2.1:*"));
  EXPECT_NE(key("192.0.2.1:80"), key("192.0.2.1:80", model::Protocol::kUdp));

  model::Service service;
  service.vip = *Endpoint::parse("192.0.2.1:80");
  const ServiceKey before = ServiceKey::of(service);
  service.name = "another";
  service.ring_slots = 256;
  EXPECT_EQ(ServiceKey::of(service), before);
}

TEST(ServiceKey, ReadsLikeTheConfiguration) {
  EXPECT_EQ(key("192.0.2.1:80").to_string(), "tcp 192.0.2.1:80");
  EXPECT_EQ(key("[2001:db8::1]:*", model::Protocol::kUdp).to_string(), "udp [2001:db8::1]:*");
}

}  // namespace
}  // namespace sluice::dataplane
