#include "base/address.h"

#include <arpa/inet.h>
#include <fmt/format.h>

#include <charconv>
#include <cstring>
#include <optional>

namespace sluice {
namespace {

Error invalid(std::string message) {
  return Error{ErrorCode::kInvalid, std::move(message)};
}

std::optional<unsigned> parse_number(std::string_view text, unsigned maximum) {
  unsigned value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  const bool leading_zero = text.size() > 1 && text.front() == '0';
  if (error != std::errc{} || end != text.data() + text.size() || value > maximum || leading_zero)
    return std::nullopt;
  return value;
}

}  // namespace

Result<IpAddress> IpAddress::parse(std::string_view text) {
  const std::string copy(text);
  IpAddress address;
  if (text.find('\0') == std::string_view::npos) {
    if (inet_pton(AF_INET, copy.c_str(), address.bytes.data()) == 1) {
      address.family = Family::kV4;
      return address;
    }
    address.bytes.fill(0);
    if (inet_pton(AF_INET6, copy.c_str(), address.bytes.data()) == 1) {
      constexpr std::array<uint8_t, 12> kMapped{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
      if (std::memcmp(address.bytes.data(), kMapped.data(), kMapped.size()) == 0)
        return invalid(
            fmt::format("'{}' is an IPv4-mapped IPv6 address: write the IPv4 address itself", text));
      address.family = Family::kV6;
      return address;
    }
  }
  return invalid(fmt::format("'{}' is not an IP address: write one like 192.0.2.1 or 2001:db8::1", text));
}

IpAddress IpAddress::v4(uint32_t network_order) {
  IpAddress address;
  std::memcpy(address.bytes.data(), &network_order, sizeof network_order);
  return address;
}

std::string IpAddress::to_string() const {
  char text[INET6_ADDRSTRLEN];
  inet_ntop(family == Family::kV4 ? AF_INET : AF_INET6, bytes.data(), text, sizeof text);
  return text;
}

bool IpAddress::is_multicast() const {
  return family == Family::kV4 ? (bytes[0] & 0xf0) == 0xe0 : bytes[0] == 0xff;
}

bool IpAddress::is_loopback() const {
  if (family == Family::kV4) return bytes[0] == 127;
  std::array<uint8_t, 16> one{};
  one[15] = 1;
  return bytes == one;
}

bool IpAddress::is_link_local() const {
  return family == Family::kV4 ? bytes[0] == 169 && bytes[1] == 254
                               : bytes[0] == 0xfe && (bytes[1] & 0xc0) == 0x80;
}

bool IpAddress::is_broadcast() const {
  return family == Family::kV4 && bytes[0] == 255 && bytes[1] == 255 && bytes[2] == 255 && bytes[3] == 255;
}

Result<IpPrefix> IpPrefix::parse(std::string_view text) {
  const size_t slash = text.find('/');
  IpPrefix prefix;
  prefix.address = SLUICE_TRY(IpAddress::parse(text.substr(0, slash)));
  const unsigned width = static_cast<unsigned>(prefix.address.size() * 8);
  prefix.length = static_cast<uint8_t>(width);
  if (slash == std::string_view::npos) return prefix;

  const auto length = parse_number(text.substr(slash + 1), width);
  if (!length)
    return invalid(fmt::format("'{}' has no prefix length between 0 and {} after the '/'", text, width));
  prefix.length = static_cast<uint8_t>(*length);
  for (unsigned bit = *length; bit < width; ++bit)
    if ((prefix.address.bytes[bit / 8] >> (7 - bit % 8)) & 1)
      return invalid(fmt::format("'{}' has bits set behind its prefix length", text));
  return prefix;
}

std::string IpPrefix::to_string() const {
  return is_single() ? address.to_string() : fmt::format("{}/{}", address.to_string(), length);
}

Result<MacAddress> MacAddress::parse(std::string_view text) {
  MacAddress mac;
  bool good = text.size() == 17;
  for (size_t i = 0; good && i < 6; ++i) {
    const char* at = text.data() + i * 3;
    const auto [end, error] = std::from_chars(at, at + 2, mac.bytes[i], 16);
    good = error == std::errc{} && end == at + 2 && (i == 5 || at[2] == ':');
  }
  if (!good) return invalid(fmt::format("'{}' is not a MAC address: write one like 02:00:5e:00:53:01", text));
  return mac;
}

std::string MacAddress::to_string() const {
  return fmt::format("{:02x}:{:02x}:{:02x}:{:02x}:{:02x}:{:02x}", bytes[0], bytes[1], bytes[2], bytes[3],
                     bytes[4], bytes[5]);
}

Result<Endpoint> Endpoint::parse(std::string_view text) {
  const auto wrong = [&] {
    return invalid(fmt::format(
        "'{}' is not address:port: write one like 192.0.2.1:80, [2001:db8::1]:53 or 192.0.2.1:* for any port",
        text));
  };
  const size_t colon = text.rfind(':');
  if (colon == std::string_view::npos) return wrong();
  std::string_view host = text.substr(0, colon);
  const std::string_view port = text.substr(colon + 1);
  const bool bracketed = host.size() > 2 && host.front() == '[' && host.back() == ']';
  if (bracketed) host = host.substr(1, host.size() - 2);
  if (bracketed != (host.find(':') != std::string_view::npos)) return wrong();

  Endpoint endpoint;
  endpoint.address = SLUICE_TRY(IpAddress::parse(host));
  if (port != "*") {
    const auto number = parse_number(port, 65535);
    if (!number || *number == 0)
      return invalid(
          fmt::format("'{}' has no port between 1 and 65535 (or * for any) after its last ':'", text));
    endpoint.port = static_cast<uint16_t>(*number);
  }
  return endpoint;
}

std::string Endpoint::to_string() const {
  const std::string text_port = port == 0 ? "*" : std::to_string(port);
  return address.family == Family::kV4 ? fmt::format("{}:{}", address.to_string(), text_port)
                                       : fmt::format("[{}]:{}", address.to_string(), text_port);
}

}  // namespace sluice
