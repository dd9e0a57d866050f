#include "cli/arguments.h"

#include <fmt/format.h>

#include <charconv>

#include "model/config.h"

namespace sluice::cli {
namespace {

Error invalid(std::string message) {
  return Error{ErrorCode::kInvalid, std::move(message)};
}

std::optional<uint32_t> whole_number(std::string_view text) {
  uint32_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc{} || end != text.data() + text.size()) return std::nullopt;
  return number;
}

// The rules of a service that only the value at `path` breaks.
Result<> check_alone(const model::Service& service, std::string_view path) {
  for (model::Violation& violation : model::violations(service))
    if (violation.paths.front() == path) return std::move(violation.error);
  return ok();
}

}  // namespace

Result<> check_service_name(std::string_view name) {
  model::Service named;
  named.name = name;
  return check_alone(named, "name");
}

Result<uint32_t> parse_weight(std::string_view text) {
  const auto weight = whole_number(text);
  if (!weight || *weight > model::kMaxWeight)
    return invalid(fmt::format("{} is not a weight: write a whole number between 0 and {}",
                               model::in_quotes(text), model::kMaxWeight));
  return *weight;
}

Result<uint32_t> parse_ring_slots(std::string_view text) {
  const auto slots = whole_number(text);
  if (!slots)
    return invalid(fmt::format("{} is not a number of slots: write a power of two between {} and {}",
                               model::in_quotes(text), model::kMinRingSlots, model::kMaxRingSlots));
  return *slots;
}

Result<> check_ring_slots(std::string_view service, uint32_t slots) {
  model::Service sized;
  sized.name = service;
  sized.ring_slots = slots;
  return check_alone(sized, "ring");
}

Result<std::chrono::seconds> parse_duration(std::string_view text) {
  constexpr uint64_t kYear = 365ULL * 24 * 3600;
  const char last = text.empty() ? '\0' : text.back();
  const uint64_t unit = last == 'h' ? 3600 : last == 'm' ? 60 : 1;
  const bool has_unit = unit > 1 || last == 's';
  const auto number = whole_number(text.substr(0, text.size() - (has_unit ? 1 : 0)));
  if (!number || *number * unit > kYear)
    return invalid(
        fmt::format("{} is not a duration of up to a year: write a whole number of seconds, or one "
                    "with a unit, such as 90, 90s, 10m or 2h",
                    model::in_quotes(text)));
  return std::chrono::seconds(*number * unit);
}

Result<std::optional<MacAddress>> parse_next_hop(std::string_view text) {
  if (text == "auto") return std::optional<MacAddress>();
  const auto mac = MacAddress::parse(text);
  if (!mac)
    return invalid(fmt::format("{} is not a next hop: write a MAC address like 02:00:5e:00:53:01, or auto",
                               model::in_quotes(text)));
  return std::optional(*mac);
}

Error no_service_here(std::string_view command) {
  return invalid(fmt::format("'{}' is about the whole load balancer: leave the service out", command));
}

Result<BackendName> parse_backend_name(const std::string& service, const std::string& address) {
  SLUICE_TRY(check_service_name(service));
  return BackendName{service, SLUICE_TRY(IpAddress::parse(address))};
}

}  // namespace sluice::cli
