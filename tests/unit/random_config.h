// Configurations for tests: small ones by hand, and random ones that are valid and that have much in common
// with each other, so that going from one to the next keeps, moves, adds and removes.
#pragma once

#include <algorithm>
#include <random>
#include <string>
#include <vector>

#include "model/config.h"

namespace sluice::test {

inline model::Backend make_backend(std::string_view address, uint32_t weight = 1,
                                   model::BackendState state = model::BackendState::kUp) {
  return {*IpAddress::parse(address), weight, state, {}, {}};
}

inline model::Service make_service(std::string name, std::string_view vip,
                                   std::vector<model::Backend> backends, uint32_t ring_slots = 256) {
  model::Service service;
  service.name = std::move(name);
  service.vip = *Endpoint::parse(vip);
  service.ring_slots = ring_slots;
  service.backends = std::move(backends);
  return service;
}

inline model::Config make_config(std::vector<model::Service> services) {
  model::Config config;
  config.services = std::move(services);
  return config;
}

class RandomConfig {
 public:
  explicit RandomConfig(unsigned seed) : random_(seed) {}

  model::Config next() {
    static constexpr const char* kVips[] = {"192.0.2.1:80", "192.0.2.1:443", "[2001:db8::1]:80",
                                            "192.0.2.2:*", "192.0.2.1:53"};
    model::Config config;
    for (const char* vip : kVips) {
      if (below(5) == 0) continue;
      model::Service service =
          make_service("s" + std::to_string(config.services.size()), vip, {}, 256u << below(3));
      if (std::string_view(vip).ends_with(":53")) service.protocol = model::Protocol::kUdp;
      if (below(4) == 0)
        service.flows = below(2) == 0 ? model::FlowTracking::kTracked : model::FlowTracking::kStateless;
      if (below(4) == 0)
        service.hash = below(2) == 0 ? model::FlowHash::kSourceIp : model::FlowHash::kSourceIpPort;
      add_backends(service);
      config.services.push_back(std::move(service));
    }
    std::shuffle(config.services.begin(), config.services.end(), random_);
    return config;
  }

  uint32_t below(uint32_t n) { return static_cast<uint32_t>(random_() % n); }

 private:
  void add_backends(model::Service& service) {
    for (uint32_t host = 1; host <= 8; ++host) {
      if (below(3) == 0) continue;
      const std::string address = host % 3 == 0 ? "2001:db8:b::" : "10.0.0.";
      const uint32_t what = below(12);
      const auto state = what < 2    ? model::BackendState::kDrain
                         : what == 2 ? model::BackendState::kDown
                                     : model::BackendState::kUp;
      service.backends.push_back(make_backend(address + std::to_string(host), below(4), state));
    }
    std::shuffle(service.backends.begin(), service.backends.end(), random_);
  }

  std::mt19937 random_;
};

}  // namespace sluice::test
