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
};

Result<> add_service(Config& config, const Service& service);
Result<> delete_service(Config& config, std::string_view name);
Result<> add_backend(Config& config, std::string_view service, const Backend& backend);
Result<> change_backend(Config& config, std::string_view service, const IpAddress& address,
                        const BackendChange& change);
Result<> delete_backend(Config& config, std::string_view service, const IpAddress& address);

}  // namespace sluice::model
