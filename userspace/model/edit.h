// The changes that a caller can make to a desired state, one at a time. Each either makes the whole change
// and leaves a valid configuration, or returns an error and leaves the configuration as it was.
#pragma once

#include <optional>

#include "model/config.h"

namespace sluice::model {

// Absent: as it is. `next_hop` present and empty: back to the default.
struct BackendChange {
  std::optional<uint32_t> weight;
  std::optional<BackendState> state;
  std::optional<std::optional<MacAddress>> next_hop;
  // Where the state is, or becomes, drain. Any `state` here, even the same again, forgets an earlier one.
  std::optional<uint64_t> drain_until = std::nullopt;
};

// Absent: as it is.
struct ServiceChange {
  std::optional<FlowHash> hash;
  std::optional<FlowTracking> flows;
  std::optional<uint32_t> ring_slots;
};

Result<> add_service(Config& config, const Service& service);
Result<> change_service(Config& config, std::string_view name, const ServiceChange& change);
Result<> delete_service(Config& config, std::string_view name);
Result<> add_backend(Config& config, std::string_view service, const Backend& backend);
Result<> change_backend(Config& config, std::string_view service, const IpAddress& address,
                        const BackendChange& change);
Result<> delete_backend(Config& config, std::string_view service, const IpAddress& address);

}  // namespace sluice::model
