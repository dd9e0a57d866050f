#include "dataplane/backend_entry.h"

#include <arpa/inet.h>
#include <linux/if_ether.h>
#include <linux/ip.h>
#include <linux/ipv6.h>

#include <algorithm>
#include <cstring>

namespace sluice::dataplane {
namespace {

constexpr uint8_t kHopLimit = 64;

uint8_t inner_protocol(Family inner) {
  return inner == Family::kV4 ? IPPROTO_IPIP : IPPROTO_IPV6;
}

// One's-complement sum of 16-bit words as they lie in memory (RFC 1071), folded.
uint16_t checksum_of(const uint8_t* bytes, size_t size) {
  uint32_t sum = 0;
  for (size_t i = 0; i + 1 < size; i += 2) {
    uint16_t word;
    std::memcpy(&word, bytes + i, sizeof word);
    sum += word;
  }
  while (sum >> 16) sum = (sum & 0xffff) + (sum >> 16);
  return static_cast<uint16_t>(sum);
}

void write_ipv4(sl_backend& entry, const IpAddress& source, const IpAddress& destination, Family inner) {
  iphdr ip{};
  ip.version = 4;
  ip.ihl = sizeof ip / 4;
  ip.ttl = kHopLimit;
  ip.protocol = inner_protocol(inner);
  std::memcpy(&ip.saddr, source.bytes.data(), sizeof ip.saddr);
  std::memcpy(&ip.daddr, destination.bytes.data(), sizeof ip.daddr);
  std::memcpy(entry.header + sizeof(ethhdr), &ip, sizeof ip);
  entry.header_size = SL_HEADER_IPV4;
  entry.checksum = checksum_of(entry.header + sizeof(ethhdr), sizeof ip);
}

void write_ipv6(sl_backend& entry, const IpAddress& source, const IpAddress& destination, Family inner) {
  ipv6hdr ip{};
  ip.version = 6;
  ip.hop_limit = kHopLimit;
  ip.nexthdr = inner_protocol(inner);
  std::memcpy(&ip.saddr, source.bytes.data(), sizeof ip.saddr);
  std::memcpy(&ip.daddr, destination.bytes.data(), sizeof ip.daddr);
  std::memcpy(entry.header + sizeof(ethhdr), &ip, sizeof ip);
  entry.header_size = SL_HEADER_IPV6;
}

}  // namespace

std::optional<IpAddress> outer_source(Family family, const model::Encapsulation& encapsulation,
                                      const Path& path) {
  const auto& configured = family == Family::kV4 ? encapsulation.source4 : encapsulation.source6;
  if (configured) return configured->address;
  if (path.source_address.family == family && !path.source_address.is_unspecified())
    return path.source_address;
  return std::nullopt;
}

sl_backend make_backend_entry(uint32_t service_id, const IpAddress& backend, Family inner,
                              const model::Encapsulation& encapsulation, const std::optional<Path>& path) {
  sl_backend entry{};
  entry.service_id = service_id;
  entry.family = static_cast<uint8_t>(backend.family);
  std::copy(backend.bytes.begin(), backend.bytes.end(), entry.address);
  entry.state = SL_BACKEND_UNRESOLVED;
  if (!path) return entry;

  const auto source = outer_source(backend.family, encapsulation, *path);
  if (!source) return entry;
  ethhdr eth{};
  std::copy(path->destination_mac.bytes.begin(), path->destination_mac.bytes.end(), eth.h_dest);
  std::copy(path->source_mac.bytes.begin(), path->source_mac.bytes.end(), eth.h_source);
  eth.h_proto = htons(backend.family == Family::kV4 ? ETH_P_IP : ETH_P_IPV6);
  std::memcpy(entry.header, &eth, sizeof eth);
  if (backend.family == Family::kV4)
    write_ipv4(entry, *source, backend, inner);
  else
    write_ipv6(entry, *source, backend, inner);
  entry.ifindex = path->ifindex;
  entry.mtu = static_cast<uint16_t>(std::min<uint32_t>(path->mtu, UINT16_MAX));
  entry.state = SL_BACKEND_UP;
  return entry;
}

IpAddress address_of(const sl_backend& entry) {
  IpAddress address;
  address.family = entry.family == 6 ? Family::kV6 : Family::kV4;
  std::copy(std::begin(entry.address), std::end(entry.address), address.bytes.begin());
  return address;
}

}  // namespace sluice::dataplane
