// The frames of the bench: what clients send, and whether what came out is that, encapsulated.
#pragma once

#include <cstdint>
#include <vector>

#include "base/address.h"
#include "base/result.h"
#include "model/config.h"

namespace sluice::bench {

using Frame = std::vector<uint8_t>;  // from the Ethernet header on, without FCS

constexpr uint32_t kClientsV4 = 0x0a400000;    // 10.64.0.0/10, host order: flow 0's source address
constexpr uint32_t kMaxBenchFlows = 1U << 22;  // as many addresses as that prefix has

// What the wrapper program makes of its template for this flow: 64 bytes, TCP data with DF set. The IPv4
// header's checksum is zero, which no load balancer looks at.
Frame client_frame(const Endpoint& vip, uint32_t flow);

// The MAC addresses and the source address that the balancers under test are told to send with.
struct Sender {
  MacAddress source_mac, destination_mac;
  IpAddress source;
};

// The backend that `out` is addressed to, an IPv4-in-IPv4 packet from `sender` that holds the packet of frame
// `in` unchanged; an error says what of it is wrong.
Result<IpAddress> check_ipip(const Frame& out, const Frame& in, const Sender& sender);

// Whether `out` is `in` behind `growth` bytes of any content.
Result<> check_pushed(const Frame& out, const Frame& in, size_t growth);

}  // namespace sluice::bench
