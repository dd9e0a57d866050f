// What people type, turned into what the model holds: strictly, before the agent is called. The errors are
// kInvalid or kUnsupported and say what to write instead.
#pragma once

#include <chrono>
#include <optional>
#include <string_view>

#include "base/address.h"
#include "base/result.h"

namespace sluice::cli {

Result<> check_service_name(std::string_view name);
Result<uint32_t> parse_weight(std::string_view text);
Result<uint32_t> parse_ring_slots(std::string_view text);
Result<> check_ring_slots(std::string_view service, uint32_t slots);      // apart from its backends
Result<std::optional<MacAddress>> parse_next_hop(std::string_view text);  // `auto` is none

// `90`, `90s`, `10m`, `2h`; 0 to a year.
Result<std::chrono::seconds> parse_duration(std::string_view text);

// For the commands below `show`, next to whose names its SERVICE can stand.
Error no_service_here(std::string_view command);

// A backend as `backend del` and its kind name it.
struct BackendName {
  std::string service;
  IpAddress address;
};
Result<BackendName> parse_backend_name(const std::string& service, const std::string& address);

}  // namespace sluice::cli
