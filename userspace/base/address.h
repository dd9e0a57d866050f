// IP addresses, prefixes, MAC addresses and endpoints: parsed strictly, printed canonically (RFC 5952).
//
// Bytes are in network order throughout. Parsing accepts exactly one spelling family: dotted quads without
// leading zeros, RFC 4291 text for IPv6 without a zone. IPv4-mapped IPv6 addresses are refused: whoever
// writes one means the IPv4 address.
#pragma once

#include <array>
#include <compare>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/result.h"

namespace sluice {

enum class Family : uint8_t { kV4 = 4, kV6 = 6 };

struct IpAddress {
  Family family = Family::kV4;
  std::array<uint8_t, 16> bytes{};  // network order; IPv4 uses the first four, the rest are zero

  static Result<IpAddress> parse(std::string_view text);
  static IpAddress v4(uint32_t network_order);
  std::string to_string() const;

  size_t size() const { return family == Family::kV4 ? 4 : 16; }
  bool is_unspecified() const { return bytes == std::array<uint8_t, 16>{}; }
  bool is_multicast() const;   // 224.0.0.0/4 or ff00::/8
  bool is_loopback() const;    // 127.0.0.0/8 or ::1
  bool is_link_local() const;  // 169.254.0.0/16 or fe80::/10
  bool is_broadcast() const;   // 255.255.255.255

  auto operator<=>(const IpAddress&) const = default;
};

// An address and how many of its leading bits are fixed. `192.0.2.1` parses as a /32.
struct IpPrefix {
  IpAddress address;
  uint8_t length = 32;

  static Result<IpPrefix> parse(std::string_view text);
  std::string to_string() const;  // without "/32" or "/128" when the prefix is a single address
  bool is_single() const { return length == address.size() * 8; }

  auto operator<=>(const IpPrefix&) const = default;
};

struct MacAddress {
  std::array<uint8_t, 6> bytes{};

  static Result<MacAddress> parse(std::string_view text);
  std::string to_string() const;
  bool is_zero() const { return bytes == std::array<uint8_t, 6>{}; }
  bool is_multicast() const { return (bytes[0] & 1) != 0; }

  auto operator<=>(const MacAddress&) const = default;
};

// `192.0.2.1:80`, `[2001:db8::1]:53`, `192.0.2.1:*`. Port 0 means any port and is written `*`.
struct Endpoint {
  IpAddress address;
  uint16_t port = 0;  // host order

  static Result<Endpoint> parse(std::string_view text);
  std::string to_string() const;

  auto operator<=>(const Endpoint&) const = default;
};

}  // namespace sluice
