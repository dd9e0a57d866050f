// What the address types accept, refuse and print.
#include "base/address.h"

#include <arpa/inet.h>
#include <gtest/gtest.h>

namespace sluice {
namespace {

std::string printed(const auto& parsed) {
  return parsed ? parsed->to_string() : "error: " + parsed.error().message;
}

TEST(IpAddress, PrintsWhatItParsesCanonically) {
  const std::pair<const char*, const char*> cases[] = {
      {"192.0.2.1", "192.0.2.1"},
      {"0.0.0.0", "0.0.0.0"},
      {"255.255.255.255", "255.255.255.255"},
      {"::", "::"},
      {"::1", "::1"},
      {"2001:db8::1", "2001:db8::1"},
      {"2001:DB8:0:0:0:0:0:1", "2001:db8::1"},
      {"2001:db8:0:0:1:0:0:1", "2001:db8::1:0:0:1"},  // RFC 5952, 4.2.3: the first of two equal runs
      {"2001:0db8::00ff", "2001:db8::ff"},
      {"fe80::1", "fe80::1"},
  };
  for (const auto& [text, canonical] : cases) EXPECT_EQ(printed(IpAddress::parse(text)), canonical) << text;
}

TEST(IpAddress, RefusesEverythingElse) {
  const std::string_view cases[] = {"",
                                    " ",
                                    "192.0.2",
                                    "192.0.2.256",
                                    "192.0.2.1.1",
                                    "192.0.2.01",
                                    "192.0.2.1 ",
                                    " 192.0.2.1",
                                    "192.0.2.1/32",
                                    "0xc0.0.2.1",
                                    "3221225985",
                                    "localhost",
                                    ":",
                                    ":::",
                                    "2001:db8",
                                    "2001:db8::1::2",
                                    "2001:db8::g",
                                    "12345::",
                                    "fe80::1%eth0",
                                    "[2001:db8::1]",
                                    "1:2:3:4:5:6:7:8:9"};
  for (const auto text : cases) {
    const auto parsed = IpAddress::parse(text);
    ASSERT_FALSE(parsed.ok()) << text;
    EXPECT_EQ(parsed.error().code, ErrorCode::kInvalid) << text;
    EXPECT_NE(parsed.error().message.find("'" + std::string(text) + "'"), std::string::npos) << text;
  }
}

TEST(IpAddress, RefusesAnEmbeddedTerminator) {
  EXPECT_FALSE(IpAddress::parse(std::string_view("192.0.2.1\0", 10)).ok());
  EXPECT_FALSE(IpAddress::parse(std::string_view("192.0.2.1\0evil", 14)).ok());
}

TEST(IpAddress, RefusesMappedIpv4AndSaysWhy) {
  const auto parsed = IpAddress::parse("::ffff:192.0.2.1");
  ASSERT_FALSE(parsed.ok());
  EXPECT_NE(parsed.error().message.find("write the IPv4 address itself"), std::string::npos);
}

TEST(IpAddress, KeepsNetworkOrder) {
  const auto parsed = IpAddress::parse("192.0.2.1");
  ASSERT_TRUE(parsed.ok());
  EXPECT_EQ(parsed->bytes[0], 192);
  EXPECT_EQ(parsed->bytes[3], 1);
  EXPECT_EQ(*parsed, IpAddress::v4(htonl(0xc0000201)));
}

TEST(IpAddress, KeepsTheFamiliesApart) {
  EXPECT_NE(*IpAddress::parse("0.0.0.0"), *IpAddress::parse("::"));
  EXPECT_EQ(IpAddress::parse("0.0.0.0")->size(), 4U);
  EXPECT_EQ(IpAddress::parse("::")->size(), 16U);
}

TEST(IpAddress, KnowsTheSpecialRanges) {
  const auto at = [](const char* text) { return *IpAddress::parse(text); };
  for (const char* text : {"224.0.0.0", "239.255.255.255", "ff02::1"})
    EXPECT_TRUE(at(text).is_multicast()) << text;
  for (const char* text : {"223.255.255.255", "240.0.0.0", "fe80::1"})
    EXPECT_FALSE(at(text).is_multicast()) << text;
  for (const char* text : {"127.0.0.1", "127.255.255.255", "::1"})
    EXPECT_TRUE(at(text).is_loopback()) << text;
  for (const char* text : {"126.255.255.255", "128.0.0.0", "::2", "::"})
    EXPECT_FALSE(at(text).is_loopback()) << text;
  for (const char* text : {"169.254.0.1", "fe80::1", "febf::1"})
    EXPECT_TRUE(at(text).is_link_local()) << text;
  for (const char* text : {"169.253.0.1", "169.255.0.1", "fec0::1"})
    EXPECT_FALSE(at(text).is_link_local()) << text;
  EXPECT_TRUE(at("255.255.255.255").is_broadcast());
  EXPECT_FALSE(at("255.255.255.254").is_broadcast());
  EXPECT_FALSE(at("ffff:ffff::").is_broadcast());
  EXPECT_TRUE(at("0.0.0.0").is_unspecified());
  EXPECT_TRUE(at("::").is_unspecified());
  EXPECT_FALSE(at("::1").is_unspecified());
}

TEST(IpPrefix, TakesAnAddressForItsWholeLength) {
  EXPECT_EQ(IpPrefix::parse("192.0.2.1")->length, 32);
  EXPECT_EQ(IpPrefix::parse("2001:db8::1")->length, 128);
  EXPECT_TRUE(IpPrefix::parse("192.0.2.1/32")->is_single());
  EXPECT_FALSE(IpPrefix::parse("192.0.2.0/24")->is_single());
}

TEST(IpPrefix, PrintsWhatItParses) {
  const std::pair<const char*, const char*> cases[] = {
      {"192.0.2.0/24", "192.0.2.0/24"},    {"192.0.2.1/32", "192.0.2.1"},
      {"0.0.0.0/0", "0.0.0.0/0"},          {"172.16.0.0/12", "172.16.0.0/12"},
      {"2001:db8::/64", "2001:db8::/64"},  {"2001:db8::1/128", "2001:db8::1"},
      {"192.0.2.254/31", "192.0.2.254/31"}};
  for (const auto& [text, canonical] : cases) EXPECT_EQ(printed(IpPrefix::parse(text)), canonical) << text;
}

TEST(IpPrefix, RefusesEverythingElse) {
  for (const char* text :
       {"", "/", "/24", "192.0.2.0/", "192.0.2.0/33", "192.0.2.0/-1", "192.0.2.0/+1", "192.0.2.0/024",
        "192.0.2.0/24/24", "192.0.2.0/ 24", "192.0.2.0/0x18", "2001:db8::/129", "192.0.2.0/4294967296"})
    EXPECT_FALSE(IpPrefix::parse(text).ok()) << text;
}

TEST(IpPrefix, RefusesBitsBehindTheLength) {
  for (const char* text :
       {"192.0.2.1/24", "192.0.2.255/31", "0.0.0.1/0", "2001:db8::1/64", "2001:db8:0:1::/63"}) {
    const auto parsed = IpPrefix::parse(text);
    ASSERT_FALSE(parsed.ok()) << text;
    EXPECT_NE(parsed.error().message.find("bits set behind"), std::string::npos) << text;
  }
}

TEST(MacAddress, PrintsWhatItParses) {
  EXPECT_EQ(printed(MacAddress::parse("02:00:5e:00:53:01")), "02:00:5e:00:53:01");
  EXPECT_EQ(printed(MacAddress::parse("AA:bb:CC:dd:EE:ff")), "aa:bb:cc:dd:ee:ff");
}

TEST(MacAddress, RefusesEverythingElse) {
  for (const char* text :
       {"", "02:00:5e:00:53", "02:00:5e:00:53:01:", "02-00-5e-00-53-01", "0200.5e00.5301", "2:0:5e:0:53:1",
        "02:00:5e:00:53:0g", "02:00:5e:00:53:-1", "02:00:5e:00:53: 1", "02:00:5e:00:53:0x"})
    EXPECT_FALSE(MacAddress::parse(text).ok()) << text;
}

TEST(MacAddress, KnowsZeroAndGroups) {
  EXPECT_TRUE(MacAddress::parse("00:00:00:00:00:00")->is_zero());
  EXPECT_TRUE(MacAddress::parse("ff:ff:ff:ff:ff:ff")->is_multicast());
  EXPECT_TRUE(MacAddress::parse("01:00:5e:00:00:01")->is_multicast());
  EXPECT_FALSE(MacAddress::parse("02:00:5e:00:53:01")->is_multicast());
}

TEST(Endpoint, PrintsWhatItParses) {
  for (const char* text : {"192.0.2.1:80", "192.0.2.1:65535", "192.0.2.1:1", "192.0.2.1:*",
                           "[2001:db8::1]:53", "[2001:db8::1]:*", "[::]:1"})
    EXPECT_EQ(printed(Endpoint::parse(text)), text);
  EXPECT_EQ(Endpoint::parse("192.0.2.1:*")->port, 0);
  EXPECT_EQ(Endpoint::parse("[2001:db8::1]:53")->port, 53);
}

TEST(Endpoint, RefusesEverythingElse) {
  for (const char* text : {"",
                           ":",
                           ":80",
                           "192.0.2.1",
                           "192.0.2.1:",
                           "192.0.2.1:0",
                           "192.0.2.1:65536",
                           "192.0.2.1:080",
                           "192.0.2.1:-1",
                           "192.0.2.1:+1",
                           "192.0.2.1: 80",
                           "192.0.2.1:80 ",
                           "192.0.2.1:http",
                           "192.0.2.1:**",
                           "2001:db8::1:53",
                           "2001:db8::1",
                           "[2001:db8::1]",
                           "[2001:db8::1]:",
                           "[2001:db8::1]53",
                           "[192.0.2.1]:80",
                           "[]:80",
                           "[2001:db8::1:53",
                           "2001:db8::1]:53",
                           "[[2001:db8::1]]:53",
                           "example.org:80",
                           "[fe80::1%eth0]:80"})
    EXPECT_FALSE(Endpoint::parse(text).ok()) << text;
}

}  // namespace
}  // namespace sluice
