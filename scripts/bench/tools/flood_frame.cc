#include "flood_frame.h"

#include <arpa/inet.h>

#include <algorithm>
#include <cstddef>
#include <cstring>

namespace sluice::bench {
namespace {

constexpr uint32_t kSourceNetwork = 0xc6120000;  // 198.18.0.0/15
constexpr uint32_t kSourceHosts = 0x0001ffff;

// Sums 16-bit words (RFC 1071); `size` is even.
uint32_t sum(const void* bytes, size_t size, uint32_t from = 0) {
  for (size_t i = 0; i < size; i += 2) {
    uint16_t word = 0;
    std::memcpy(&word, static_cast<const std::byte*>(bytes) + i, sizeof word);
    from += word;
  }
  return from;
}

uint16_t checksum(uint32_t sum) {
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >> 16);
  return static_cast<uint16_t>(~sum);
}

}  // namespace

FloodFrame make_flood_frame(const MacAddress& from, const MacAddress& to, FloodKind kind) {
  FloodFrame frame{};
  std::copy(from.bytes.begin(), from.bytes.end(), frame.ethernet.h_source);
  std::copy(to.bytes.begin(), to.bytes.end(), frame.ethernet.h_dest);
  frame.ethernet.h_proto = htons(ETH_P_IP);
  frame.ip.version = 4;
  frame.ip.ihl = sizeof frame.ip / 4;
  frame.ip.tot_len = htons(sizeof frame.ip + sizeof frame.tcp);
  frame.ip.frag_off = htons(0x4000);  // do not fragment
  frame.ip.ttl = 64;
  frame.ip.protocol = IPPROTO_TCP;
  frame.tcp.doff = sizeof frame.tcp / 4;
  frame.tcp.window = htons(65535);
  frame.tcp.syn = kind == FloodKind::kSyn ? 1 : 0;
  frame.tcp.ack = kind == FloodKind::kAck ? 1 : 0;
  return frame;
}

void aim(FloodFrame& frame, const Endpoint& vip, Random& random) {
  const uint64_t addresses = random(), numbers = random();
  frame.ip.saddr = htonl(kSourceNetwork | (static_cast<uint32_t>(addresses) & kSourceHosts));
  std::memcpy(&frame.ip.daddr, vip.address.bytes.data(), sizeof frame.ip.daddr);
  frame.ip.check = 0;
  frame.ip.check = checksum(sum(&frame.ip, sizeof frame.ip));

  frame.tcp.source = htons(static_cast<uint16_t>(1024 + (addresses >> 32) % (65536 - 1024)));
  frame.tcp.dest = htons(vip.port);
  frame.tcp.seq = static_cast<uint32_t>(numbers);
  frame.tcp.ack_seq = frame.tcp.ack ? static_cast<uint32_t>(numbers >> 32) : 0;
  frame.tcp.check = 0;
  // The pseudo header of RFC 9293: both addresses, protocol, length.
  const uint32_t pseudo =
      sum(&frame.ip.saddr, 2 * sizeof frame.ip.saddr) + htons(IPPROTO_TCP) + htons(sizeof frame.tcp);
  frame.tcp.check = checksum(sum(&frame.tcp, sizeof frame.tcp, pseudo));
}

}  // namespace sluice::bench
