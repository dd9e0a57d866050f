#include "packet_scenarios.h"

#include <algorithm>
#include <array>

namespace sluice::bench {
namespace {

constexpr std::array kScenarios{
    Scenario{kFloor, "the wrapper and a bare push of 20 bytes", nullptr, nullptr, TableUse::kNone},
    Scenario{kSteady, "flows: auto, all slots stable", [](model::Config&) {}, nullptr, TableUse::kNone},
    Scenario{kBareRing, "flows: stateless, the ring alone",
             [](model::Config& config) { config.services[0].flows = model::FlowTracking::kStateless; },
             nullptr, TableUse::kNone},
    Scenario{"every-flow", "flows: tracked, all flows in the flow table",
             [](model::Config& config) { config.services[0].flows = model::FlowTracking::kTracked; }, nullptr,
             TableUse::kEvery},
    Scenario{"tracked-slots", "flows: auto just after flow 0's backend is drained", [](model::Config&) {},
             [](model::Config& config, const IpAddress& backend) {
               config.services[0].find_backend(backend)->state = model::BackendState::kDrain;
             },
             TableUse::kSome},
};

IpAddress v4(uint32_t host_order) {
  IpAddress address;
  for (size_t i = 0; i < 4; ++i) address.bytes[i] = static_cast<uint8_t>(host_order >> (24 - 8 * i));
  return address;
}

}  // namespace

std::span<const Scenario> scenarios() {
  return kScenarios;
}

const Scenario* find_scenario(std::string_view name) {
  const auto* found = std::ranges::find(kScenarios, name, &Scenario::name);
  return found == kScenarios.end() ? nullptr : found;
}

Endpoint vip() {
  return {v4(0xc0000201), 80};  // 192.0.2.1:80
}

const Sender& sender() {
  static const Sender kSender{{{2, 0, 0, 0, 0, 1}}, {{2, 0, 0, 0, 0, 2}}, v4(0xc000020a)};  // from 192.0.2.10
  return kSender;
}

model::Config plain_config(uint32_t flows) {
  model::Config config;
  // Room for one ring and its replacement: many load balancers are up at the same time, and an array's unused
  // rest costs nothing but memory.
  config.limits.ring_slots = 4 * model::kDefaultRingSlots;
  config.limits.flows = std::max(config.limits.flows, flows);
  model::Service service;
  service.name = "bench";
  service.vip = vip();
  for (uint32_t n = 0; n < kBackends; ++n)
    service.backends.push_back({.address = v4(0x0a00000b + n), .next_hop = std::nullopt});  // 10.0.0.11 ...
  config.services.push_back(service);
  return config;
}

}  // namespace sluice::bench
