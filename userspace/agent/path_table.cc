#include "agent/path_table.h"

namespace sluice::agent {

const kernel::NextHop& PathTable::next_hop(const IpAddress& backend, const std::optional<MacAddress>& fixed) {
  const auto [known, is_new] = known_.try_emplace({backend, fixed});
  if (is_new) {
    Result<kernel::NextHop> asked = routes_->resolve(backend, fixed);
    if (asked.ok()) {
      known->second = std::move(asked).value();
    } else {
      known->second.state = kernel::NextHopState::kNoRoute;
      known->second.detail = asked.error().message;
    }
  }
  return known->second;
}

std::optional<dataplane::Path> PathTable::path_to(const IpAddress& backend,
                                                  const std::optional<MacAddress>& fixed) {
  const kernel::NextHop& hop = next_hop(backend, fixed);
  const bool is_asked_again =
      hop.state == kernel::NextHopState::kNeighbourPending && !hop.destination_mac.is_zero();
  if (hop.state != kernel::NextHopState::kResolved && !is_asked_again) return std::nullopt;
  return dataplane::Path{hop.ifindex, hop.source_mac, hop.destination_mac, hop.source_address, hop.mtu};
}

}  // namespace sluice::agent
