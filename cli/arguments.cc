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

}  // namespace

Result<> check_service_name(std::string_view name) {
  model::Service named;
  named.name = name;
  for (model::Violation& violation : model::violations(named))
    if (violation.paths.front() == "name") return std::move(violation.error);
  return ok();
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
