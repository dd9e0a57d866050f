#include "packet_frame.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <span>

#include "packet_wrapper.h"

namespace sluice::bench {
namespace {

constexpr size_t kFrameSize = 64;
constexpr size_t kEthernet = 14, kIpv4 = 20;

void put16(Frame& frame, size_t at, uint32_t value) {
  frame[at] = static_cast<uint8_t>(value >> 8);
  frame[at + 1] = static_cast<uint8_t>(value);
}

void put32(Frame& frame, size_t at, uint32_t value) {
  put16(frame, at, value >> 16);
  put16(frame, at + 2, value & 0xffff);
}

uint32_t get16(const Frame& frame, size_t at) {
  return static_cast<uint32_t>(frame[at] << 8 | frame[at + 1]);
}

template <typename Bytes>
bool stands_at(const Frame& frame, size_t at, const Bytes& bytes) {
  return std::equal(bytes.begin(), bytes.end(), frame.begin() + static_cast<ptrdiff_t>(at));
}

// RFC 1071: a header with a right checksum sums up to all ones.
bool sums_up(const Frame& frame, size_t at, size_t size) {
  uint32_t sum = 0;
  for (size_t i = at; i < at + size; i += 2) sum += get16(frame, i);
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >> 16);
  return sum == 0xffff;
}

Error wrong(std::string_view what) {
  return Error{ErrorCode::kInternal, fmt::format("wrong output: {}", what)};
}

}  // namespace

Frame client_frame(const Endpoint& vip, uint32_t flow) {
  constexpr size_t kIp = kEthernet, kTcp = kEthernet + kIpv4;
  constexpr std::array<uint8_t, 12> kMacs{2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 9};
  Frame frame(kFrameSize, 'x');
  std::fill_n(frame.begin(), kTcp + 20, uint8_t{0});
  std::ranges::copy(kMacs, frame.begin());
  put16(frame, 12, 0x0800);
  frame[kIp] = 0x45;
  put16(frame, kIp + 2, kFrameSize - kEthernet);
  put16(frame, kIp + 6, 0x4000);  // DF
  frame[kIp + 8] = 64;            // TTL
  frame[kIp + 9] = 6;             // TCP
  put32(frame, BENCH_SOURCE_OFFSET, kClientsV4 + flow);
  std::copy_n(vip.address.bytes.begin(), 4, frame.begin() + kIp + 16);
  put16(frame, BENCH_PORT_OFFSET, BENCH_PORT(flow));
  put16(frame, kTcp + 2, vip.port);
  frame[kTcp + 12] = 0x50;  // five words of header
  frame[kTcp + 13] = 0x18;  // PSH, ACK
  return frame;
}

Result<> check_pushed(const Frame& out, const Frame& in, size_t growth) {
  if (out.size() != in.size() + growth)
    return wrong(fmt::format("{} bytes instead of {}", out.size(), in.size() + growth));
  if (!stands_at(out, growth + kEthernet, std::span(in).subspan(kEthernet)))
    return wrong("the inner packet is not the one that was sent");
  return ok();
}

Result<IpAddress> check_ipip(const Frame& out, const Frame& in, const Sender& sender) {
  constexpr size_t kIp = kEthernet;
  SLUICE_TRY(check_pushed(out, in, kIpv4));
  if (!stands_at(out, 0, sender.destination_mac.bytes) || !stands_at(out, 6, sender.source_mac.bytes))
    return wrong("the MAC addresses");
  if (get16(out, 12) != 0x0800 || out[kIp] != 0x45) return wrong("no IPv4 header in front");
  if (get16(out, kIp + 2) != out.size() - kEthernet) return wrong("the outer length");
  if (get16(out, kIp + 6) != 0x4000) return wrong("DF is not copied");
  if (out[kIp + 8] == 0 || out[kIp + 9] != 4) return wrong("the outer TTL or protocol");
  if (!sums_up(out, kIp, kIpv4)) return wrong("the outer checksum");
  if (!stands_at(out, kIp + 12, std::span(sender.source.bytes).first(4))) return wrong("the outer source");
  IpAddress destination;
  std::copy_n(out.begin() + kIp + 16, 4, destination.bytes.begin());
  return destination;
}

}  // namespace sluice::bench
