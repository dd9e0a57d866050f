#include "model/config.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <bit>
#include <map>
#include <span>
#include <tuple>

namespace sluice::model {
namespace {

template <typename E>
struct Word {
  std::string_view word;
  E value;
};
constexpr std::array kXdpModes{Word{"auto", XdpMode::kAuto}, Word{"native", XdpMode::kNative},
                               Word{"generic", XdpMode::kGeneric}};
constexpr std::array kProtocols{Word{"tcp", Protocol::kTcp}, Word{"udp", Protocol::kUdp}};
constexpr std::array kForwardingModes{Word{"ipip", ForwardingMode::kIpip}};
constexpr std::array kBackendStates{Word{"up", BackendState::kUp}, Word{"drain", BackendState::kDrain},
                                    Word{"down", BackendState::kDown}};
constexpr std::array kFlowTrackings{Word{"auto", FlowTracking::kAuto},
                                    Word{"tracked", FlowTracking::kTracked},
                                    Word{"stateless", FlowTracking::kStateless}};
constexpr std::array kFlowHashes{Word{"5-tuple", FlowHash::kFiveTuple},
                                 Word{"source-ip", FlowHash::kSourceIp},
                                 Word{"source-ip,port", FlowHash::kSourceIpPort}};

// Words of the schema that a later version will know: an operator who writes one made no mistake.
constexpr std::array<std::string_view, 1> kLaterProtocols{"sctp"};
constexpr std::array<std::string_view, 4> kLaterForwardingModes{"gue", "l2", "nat", "local"};

template <typename E, size_t N>
std::string_view word_of(const std::array<Word<E>, N>& words, E value) {
  for (const auto& entry : words)
    if (entry.value == value) return entry.word;
  assert(false && "an enumerator without a word");
  return {};
}

template <typename E, size_t N>
std::string alternatives(const std::array<Word<E>, N>& words) {
  std::string text;
  for (size_t i = 0; i < N; ++i) text.append(i == 0 ? "" : i + 1 == N ? " or " : ", ").append(words[i].word);
  return text;
}

template <typename E, size_t N>
Result<E> value_of(std::string_view what, const std::array<Word<E>, N>& words, std::string_view text,
                   std::span<const std::string_view> later = {}) {
  for (const auto& entry : words)
    if (entry.word == text) return entry.value;
  if (std::ranges::find(later, text) != later.end())
    return Error{ErrorCode::kUnsupported, fmt::format("{} is {} that this version does not support: write {}",
                                                      in_quotes(text), what, alternatives(words))};
  return Error{ErrorCode::kInvalid,
               fmt::format("{} is not {}: write {}", in_quotes(text), what, alternatives(words))};
}

using Violations = std::vector<Violation>;

std::string below(std::string_view path, std::string_view key) {
  return path.empty() ? std::string(key) : fmt::format("{}.{}", path, key);
}

void add(Violations& found, std::vector<std::string> paths, ErrorCode code, std::string message) {
  found.push_back({std::move(paths), Error{code, std::move(message)}});
}

// What keeps `address` from being the address of one reachable host, or nothing.
std::string_view not_a_host(const IpAddress& address) {
  // All of 0.0.0.0/8 is "this network" (RFC 6890): Linux routes none of it.
  if (address.is_unspecified() || (address.family == Family::kV4 && address.bytes[0] == 0))
    return "the unspecified address";
  if (address.is_multicast()) return "a multicast address";
  if (address.is_loopback()) return "a loopback address";
  if (address.is_link_local()) return "a link-local address";
  if (address.is_broadcast()) return "the broadcast address";
  return {};
}

void check_next_hop(const std::optional<MacAddress>& next_hop, const std::string& path,
                    std::string_view whose, Violations& found) {
  if (!next_hop || (!next_hop->is_zero() && !next_hop->is_multicast())) return;
  add(found, {path}, ErrorCode::kInvalid,
      fmt::format("{}: next hop {} is {}: write the MAC address of one machine, or auto", whose,
                  next_hop->to_string(), next_hop->is_zero() ? "all zeros" : "a group address"));
}

std::string label(const Service& service) {
  return "service " + in_quotes(service.name);
}

std::string label(const Backend& backend, const Service& of) {
  const std::string own = "backend " + backend.address.to_string();
  return of.name.empty() ? own : label(of) + ": " + own;
}

void check_drain_until(const Backend& backend, const Service& of, const std::string& path,
                       Violations& found) {
  if (!backend.drain_until) return;
  const std::string own_path = below(path, "drain_until");
  if (*backend.drain_until > kMaxUnixSeconds)
    add(found, {own_path}, ErrorCode::kInvalid,
        fmt::format("{}: drain_until {} is after the year 9999: write Unix time in seconds, as `date +%s` "
                    "prints it",
                    label(backend, of), *backend.drain_until));
  if (backend.state != BackendState::kDrain)
    add(found, {own_path, below(path, "state")}, ErrorCode::kInvalid,
        fmt::format("{}: drain_until is given, but its state is {}, which no drain ends: write state: drain, "
                    "or remove drain_until",
                    label(backend, of), to_string(backend.state)));
}

void check_backend(const Backend& backend, const Service& of, const std::string& path,
                   const std::string& service_path, Violations& found) {
  const std::string address_path = below(path, "address");
  if (const std::string_view fault = not_a_host(backend.address); !fault.empty())
    add(found, {address_path}, ErrorCode::kInvalid,
        fmt::format("{} is {}: write the address of one machine", label(backend, of), fault));
  else if (backend.address == of.vip.address)
    add(found, {address_path, below(service_path, "vip")}, ErrorCode::kInvalid,
        fmt::format(
            "{} is the service's own VIP, so packets would come back for ever: write the machine's own "
            "address",
            label(backend, of)));
  if (backend.weight > kMaxWeight)
    add(found, {below(path, "weight")}, ErrorCode::kInvalid,
        fmt::format("{}: weight {} is not between 0 and {}", label(backend, of), backend.weight, kMaxWeight));
  check_next_hop(backend.next_hop, below(path, "next_hop"), label(backend, of), found);
  check_drain_until(backend, of, path, found);
}

bool is_service_name(std::string_view name) {
  const auto alphanumeric = [](char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9'); };
  const auto inner = [&](char c) { return alphanumeric(c) || c == '.' || c == '_' || c == '-'; };
  return !name.empty() && name.size() <= kMaxNameLength && alphanumeric(name.front()) &&
         alphanumeric(name.back()) && std::ranges::all_of(name, inner);
}

void check_ring(const Service& service, const std::string& path, Violations& found) {
  const std::string ring_path = below(path, "ring");
  if (service.ring_slots < kMinRingSlots || service.ring_slots > kMaxRingSlots ||
      !std::has_single_bit(service.ring_slots)) {
    const uint32_t near = std::bit_ceil(std::clamp(service.ring_slots, kMinRingSlots, kMaxRingSlots));
    add(found, {ring_path}, ErrorCode::kInvalid,
        fmt::format("{}: a ring of {} slots is not a power of two between {} and {}: write {}",
                    label(service), service.ring_slots, kMinRingSlots, kMaxRingSlots, near));
    return;
  }
  const auto weighted =
      std::ranges::count_if(service.backends, [](const Backend& b) { return b.weight > 0; });
  if (static_cast<uint64_t>(weighted) > service.ring_slots)
    add(found, {ring_path, below(path, "backends")}, ErrorCode::kInvalid,
        fmt::format("{}: a ring of {} slots has none for some of its {} backends: write a ring of {} or more",
                    label(service), service.ring_slots, weighted,
                    std::bit_ceil(static_cast<uint64_t>(weighted))));
}

void check_service(const Service& service, const std::string& path, Violations& found) {
  if (!is_service_name(service.name))
    add(found, {below(path, "name")}, ErrorCode::kInvalid,
        fmt::format("{} is not a service name: write 1 to {} of a-z, 0-9, '.', '_' and '-', with a letter or "
                    "digit first and last",
                    in_quotes(service.name), kMaxNameLength));
  if (const std::string_view fault = not_a_host(service.vip.address); !fault.empty())
    add(found, {below(path, "vip")}, ErrorCode::kInvalid,
        fmt::format("{}: its VIP {} is {}, to which no client can send: write a unicast address",
                    label(service), service.vip.to_string(), fault));
  check_ring(service, path, found);

  std::map<IpAddress, size_t> seen;
  for (size_t i = 0; i < service.backends.size(); ++i) {
    const Backend& backend = service.backends[i];
    const std::string backend_path = fmt::format("{}[{}]", below(path, "backends"), i);
    check_backend(backend, service, backend_path, path, found);
    const auto [first, fresh] = seen.emplace(backend.address, i);
    if (!fresh && not_a_host(backend.address).empty())
      add(found,
          {below(backend_path, "address"),
           fmt::format("{}[{}].address", below(path, "backends"), first->second)},
          ErrorCode::kExists,
          fmt::format("{} is listed twice: remove one, or give the other more weight",
                      label(backend, service)));
  }
}

// What one name or VIP belongs to already, while the services are gone through in order.
struct Identities {
  std::map<std::string_view, size_t> names;
  std::map<std::tuple<Endpoint, Protocol>, size_t> vips;
};

void check_identity(const Config& config, size_t index, Identities& seen, Violations& found) {
  const Service& service = config.services[index];
  const auto place = [](size_t i, std::string_view key) { return fmt::format("services[{}].{}", i, key); };
  if (const auto [first, fresh] = seen.names.emplace(service.name, index);
      !fresh && is_service_name(service.name))
    add(found, {place(index, "name"), place(first->second, "name")}, ErrorCode::kExists,
        fmt::format("two services have the name {}: give one another name", in_quotes(service.name)));

  if (const auto [first, fresh] = seen.vips.emplace(std::tuple{service.vip, service.protocol}, index);
      !fresh && not_a_host(service.vip.address).empty())
    add(found,
        {place(index, "vip"), place(first->second, "vip"), place(index, "protocol"),
         place(first->second, "protocol")},
        ErrorCode::kExists,
        fmt::format(
            "the services {} and {} have the same VIP {} ({}): give one another address, port or protocol, "
            "or put all the backends into one of them",
            in_quotes(config.services[first->second].name), in_quotes(service.name), service.vip.to_string(),
            to_string(service.protocol)));
}

bool is_interface_name(std::string_view name) {
  // The kernel's rule (dev_valid_name: IFNAMSIZ is 16 with the terminator), and printable so that it can be
  // shown.
  const auto good = [](char c) { return c > ' ' && c < 0x7f && c != '/' && c != ':'; };
  return !name.empty() && name.size() <= 15 && name != "." && name != ".." && std::ranges::all_of(name, good);
}

void check_interfaces(const Config& config, Violations& found) {
  std::map<std::string_view, size_t> seen;
  for (size_t i = 0; i < config.interfaces.size(); ++i) {
    const std::string& name = config.interfaces[i].name;
    const std::string path = fmt::format("interfaces[{}].name", i);
    if (!is_interface_name(name)) {
      add(found, {path}, ErrorCode::kInvalid,
          fmt::format(
              "{} is not an interface name: write 1 to 15 printable characters without space, '/' and "
              "':', as `ip link` shows it",
              in_quotes(name)));
    } else if (const auto [first, fresh] = seen.emplace(name, i); !fresh) {
      add(found, {path, fmt::format("interfaces[{}].name", first->second)}, ErrorCode::kExists,
          fmt::format("the interface {} is listed twice: remove one", in_quotes(name)));
    }
  }
}

void check_source(const std::optional<IpPrefix>& source, Family family, uint8_t shortest,
                  const std::string& path, Violations& found) {
  if (!source) return;
  const std::string text = source->to_string();
  if (source->address.family != family)
    add(found, {path}, ErrorCode::kInvalid,
        fmt::format("{} is not an IPv{} address or prefix: write one, or move it to encapsulation.source{}",
                    text, static_cast<int>(family), static_cast<int>(source->address.family)));
  else if (source->length < shortest)
    add(found, {path}, ErrorCode::kInvalid,
        fmt::format("{} is too wide: write one address, or a prefix of /{} or longer", text, shortest));
  else if (const std::string_view fault = not_a_host(source->address); !fault.empty())
    add(found, {path}, ErrorCode::kInvalid,
        fmt::format(
            "{} is {}, which no packet may come from: write a unicast address or prefix of this machine",
            text, fault));
}

void check_defaults(const Defaults& defaults, Violations& found) {
  check_next_hop(defaults.next_hop, "defaults.next_hop", "defaults", found);
  // ASCII only, because text that looks the same on two machines of a fleet must be the same bytes.
  if (defaults.hash_seed.size() > kMaxSeedLength || !is_printable(defaults.hash_seed))
    add(found, {"defaults.hash_seed"}, ErrorCode::kInvalid,
        fmt::format("{} is not a hash seed: write up to {} printable ASCII characters",
                    in_quotes(defaults.hash_seed), kMaxSeedLength));
  if (defaults.grace_seconds < kMinGraceSeconds || defaults.grace_seconds > kMaxGraceSeconds)
    add(found, {"defaults.grace"}, ErrorCode::kInvalid,
        fmt::format("a grace period of {} s is not between 1s and 24h", defaults.grace_seconds));
}

void check_limits(const Limits& limits, Violations& found) {
  const auto range = [&](std::string_view key, uint32_t value, uint32_t low, uint32_t high) {
    if (value < low || value > high)
      add(found, {below("limits", key)}, ErrorCode::kInvalid,
          fmt::format("a limit of {} {} is not between {} and {}", value, key, low, high));
  };
  range("services", limits.services, 1, kMaxServices);
  range("backends", limits.backends, 1, kMaxBackends);
  range("flows", limits.flows, kMinFlows, kMaxFlows);
  range("ring_slots", limits.ring_slots, kMinTotalRingSlots, kMaxTotalRingSlots);
  if (!std::has_single_bit(limits.ring_slots) && limits.ring_slots >= kMinTotalRingSlots &&
      limits.ring_slots <= kMaxTotalRingSlots)
    add(found, {"limits.ring_slots"}, ErrorCode::kInvalid,
        fmt::format("a limit of {} ring_slots is not a power of two: write {}", limits.ring_slots,
                    std::bit_ceil(limits.ring_slots)));
}

void check_totals(const Config& config, Violations& found) {
  uint64_t backends = 0;
  uint64_t slots = 0;
  uint64_t largest = 0;  // a ring is replaced by a second copy beside the first
  for (const Service& service : config.services) {
    backends += service.backends.size();
    slots += service.ring_slots;
    largest = std::max<uint64_t>(largest, service.ring_slots);
  }
  if (config.services.size() > config.limits.services)
    add(found, {"limits.services", "services"}, ErrorCode::kNoSpace,
        fmt::format("{} services do not fit in a table of {}: raise limits.services to {} or more",
                    config.services.size(), config.limits.services, config.services.size()));
  if (backends > config.limits.backends)
    add(found, {"limits.backends", "services"}, ErrorCode::kNoSpace,
        fmt::format(
            "the services' {} backends do not fit in a table of {}: raise limits.backends to {} or more",
            backends, config.limits.backends, backends));
  if (slots + largest > config.limits.ring_slots)
    add(found, {"limits.ring_slots", "services"}, ErrorCode::kNoSpace,
        fmt::format("the services' rings and a second copy of the largest, for changes, need {} slots, the "
                    "table has {}: "
                    "raise limits.ring_slots to {} or give services a smaller ring",
                    slots + largest, config.limits.ring_slots, std::bit_ceil(slots + largest)));
}

Result<> merged(Violations found) {
  if (found.empty()) return ok();
  std::vector<Error> errors;
  for (Violation& violation : found) errors.push_back(std::move(violation.error));
  return merge(errors);
}

}  // namespace

const Backend* Service::find_backend(const IpAddress& address) const {
  const auto found = std::ranges::find(backends, address, &Backend::address);
  return found == backends.end() ? nullptr : &*found;
}

Backend* Service::find_backend(const IpAddress& address) {
  return const_cast<Backend*>(std::as_const(*this).find_backend(address));
}

const Service* Config::find_service(std::string_view name) const {
  const auto found = std::ranges::find(services, name, &Service::name);
  return found == services.end() ? nullptr : &*found;
}

Service* Config::find_service(std::string_view name) {
  return const_cast<Service*>(std::as_const(*this).find_service(name));
}

std::string_view to_string(XdpMode value) {
  return word_of(kXdpModes, value);
}
std::string_view to_string(Protocol value) {
  return word_of(kProtocols, value);
}
std::string_view to_string(ForwardingMode value) {
  return word_of(kForwardingModes, value);
}
std::string_view to_string(BackendState value) {
  return word_of(kBackendStates, value);
}
std::string_view to_string(FlowTracking value) {
  return word_of(kFlowTrackings, value);
}
std::string_view to_string(FlowHash value) {
  return word_of(kFlowHashes, value);
}

Result<XdpMode> parse_xdp_mode(std::string_view text) {
  return value_of("an XDP mode", kXdpModes, text);
}
Result<Protocol> parse_protocol(std::string_view text) {
  return value_of("a protocol", kProtocols, text, kLaterProtocols);
}
Result<ForwardingMode> parse_forwarding_mode(std::string_view text) {
  return value_of("a forwarding mode", kForwardingModes, text, kLaterForwardingModes);
}
Result<BackendState> parse_backend_state(std::string_view text) {
  return value_of("a backend state", kBackendStates, text);
}
Result<FlowTracking> parse_flow_tracking(std::string_view text) {
  return value_of("a way of flow tracking", kFlowTrackings, text);
}
Result<FlowHash> parse_flow_hash(std::string_view text) {
  return value_of("a flow hash", kFlowHashes, text);
}

std::vector<Violation> violations(const Config& config) {
  Violations found;
  check_interfaces(config, found);
  check_source(config.encapsulation.source4, Family::kV4, 8, "encapsulation.source4", found);
  check_source(config.encapsulation.source6, Family::kV6, 64, "encapsulation.source6", found);
  check_defaults(config.defaults, found);
  check_limits(config.limits, found);
  Identities seen;
  for (size_t i = 0; i < config.services.size(); ++i) {
    check_service(config.services[i], fmt::format("services[{}]", i), found);
    check_identity(config, i, seen, found);
  }
  check_totals(config, found);
  return found;
}

std::vector<Violation> violations(const Service& service) {
  Violations found;
  check_service(service, "", found);
  return found;
}

std::vector<Violation> violations(const Backend& backend, const Service& of) {
  Violations found;
  check_backend(backend, of, "", "", found);
  return found;
}

Result<> validate(const Config& config) {
  return merged(violations(config));
}
Result<> validate(const Service& service) {
  return merged(violations(service));
}
Result<> validate(const Backend& backend, const Service& of) {
  return merged(violations(backend, of));
}

Error merge(const std::vector<Error>& errors) {
  assert(!errors.empty());
  Error all{errors.front().code, {}};
  for (size_t i = 0; i < errors.size(); ++i) {
    if (errors[i].code != all.code) all.code = ErrorCode::kInvalid;
    if (i < kMaxReportedErrors) all.message.append(i == 0 ? "" : "\n").append(errors[i].message);
  }
  if (errors.size() > kMaxReportedErrors) all.message.append("\nand more errors");
  return all;
}

std::string in_quotes(std::string_view text) {
  constexpr size_t kShown = 64;
  std::string shown = "'";
  for (const char c : text.substr(0, kShown)) shown.push_back(c >= ' ' && c < 0x7f ? c : '?');
  return shown.append(text.size() > kShown ? "...'" : "'");
}

bool is_printable(std::string_view text) {
  return std::ranges::all_of(text, [](char c) { return c >= ' ' && c < 0x7f; });
}

}  // namespace sluice::model
