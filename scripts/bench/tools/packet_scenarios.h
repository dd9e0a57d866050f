// What is timed: a table of scenarios. A new one is a row, as long as its packets are IPv4 TCP data to the
// one VIP and come out IPv4-in-IPv4.
#pragma once

#include <span>
#include <string_view>

#include "model/config.h"
#include "packet_frame.h"

namespace sluice::bench {

// Who of the packets goes to the flow table.
enum class TableUse {
  kNone,   // nobody, ever: it stays empty
  kSome,   // packets of some flows, all of which are in it before the timing
  kEvery,  // every packet, of flows that are all in it before the timing
};

struct Scenario {
  std::string_view name;
  std::string_view what;  // for people
  // Makes the plain configuration (plain_config()) the scenario's; nullptr: there is no load balancer, the
  // bare push alone is timed.
  void (*shape)(model::Config& config);
  // A change that is applied before the timing; nullptr: none. `backend` is the one that serves flow 0.
  void (*change)(model::Config& config, const IpAddress& backend);
  TableUse table;
};

constexpr std::string_view kFloor = "floor";
constexpr std::string_view kSteady = "steady";
constexpr std::string_view kBareRing = "bare-ring";

std::span<const Scenario> scenarios();  // the floor is the first
const Scenario* find_scenario(std::string_view name);

Endpoint vip();
const Sender& sender();
constexpr uint32_t kBackends = 10;

// One IPIP service of ten backends, ring 65536, a flow table for `flows` flows at least.
model::Config plain_config(uint32_t flows);

}  // namespace sluice::bench
