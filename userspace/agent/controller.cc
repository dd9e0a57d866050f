#include "agent/controller.h"

#include <array>
#include <chrono>
#include <numeric>
#include <unordered_map>

namespace sluice::agent {
namespace {

using dataplane::ServiceKey;

api::Changed summarise(uint64_t revision, const std::vector<plan::Forecast>& forecasts) {
  api::Changed changed{revision, 0, 0, 0};
  for (const auto& forecast : forecasts) {
    changed.slots += forecast.slots;
    changed.moved += forecast.moved;
    changed.tracked += forecast.tracked;
  }
  return changed;
}

void add(api::Traffic& sum, const api::Traffic& traffic) {
  sum.packets += traffic.packets;
  sum.bytes += traffic.bytes;
  sum.packets_per_second += traffic.packets_per_second;
  sum.bytes_per_second += traffic.bytes_per_second;
}

// How many of a service's slots name each backend.
struct SlotCount {
  std::unordered_map<uint32_t, uint32_t> current;
  std::unordered_map<uint32_t, uint32_t> origin;  // of tracked slots, where it is not the current one
  uint32_t tracked = 0;
};

SlotCount count_slots(const dataplane::Port& port, const plan::ServiceLayout& placed) {
  SlotCount count;
  const auto ring = port.ring().subspan(placed.value.ring_base, placed.slots());
  const auto origin = port.origin().subspan(placed.value.ring_base, placed.slots());
  for (size_t i = 0; i < ring.size(); ++i) {
    const uint32_t current = ring[i] & ~SL_SLOT_TRACKED;
    ++count.current[current];
    if ((ring[i] & SL_SLOT_TRACKED) == 0) continue;
    ++count.tracked;
    if (origin[i] != current) ++count.origin[origin[i]];
  }
  return count;
}

}  // namespace

Result<Controller> Controller::start(dataplane::Port& port, const StateStore& store, PathTable& paths,
                                     StoredState initial) {
  apply::Applier applier = SLUICE_TRY(apply::Applier::take_over(
      port, initial.config.limits,
      [&paths](const IpAddress& backend, const std::optional<MacAddress>& next_hop) {
        return paths.path_to(backend, next_hop);
      }));
  SLUICE_TRY(applier.preview(initial.config));
  SLUICE_TRY(store.save(initial));
  SLUICE_TRY(applier.apply(initial.config));
  return Controller(port, store, paths, std::move(applier), std::move(initial));
}

Result<api::Changed> Controller::change(const Edit& edit) {
  StoredState next = state_;
  SLUICE_TRY(edit(next.config));
  if (next.config == state_.config) return api::Changed{state_.revision, 0, 0, 0};
  ++next.revision;
  SLUICE_TRY(applier_.preview(next.config));
  if (Result<> saved = store_->save(next); !saved.ok()) {
    // It may be half done: put back what is true.
    const auto undone = store_->save(state_);
    Error error = std::move(saved).error();
    if (!undone.ok()) error.message += "; nothing was changed, but the state on disk may say otherwise";
    return error;
  }
  Result<std::vector<plan::Forecast>> applied = applier_.apply(next.config);
  if (!applied.ok()) {
    Error error = std::move(applied).error();
    const auto taken_back = applier_.apply(state_.config);
    if (!taken_back.ok()) error.message += "; and going back failed: " + taken_back.error().message;
    const auto saved = store_->save(state_);
    if (!saved.ok())
      error.message += "; and the state on disk is ahead of the kernel: " + saved.error().message;
    return error;
  }
  state_ = std::move(next);
  return summarise(state_.revision, *applied);
}

Result<size_t> Controller::refresh_paths() {
  paths_->forget();
  return applier_.refresh_paths();
}

void Controller::sample_rates() {
  const auto now = RateMeter::Time::clock::now();
  std::vector<uint32_t> ids;
  for (const auto& service : state_.config.services)
    if (const auto* placed = applier_.placed(ServiceKey::of(service)))
      for (const auto& [address, id] : placed->backends) ids.push_back(id);
  const auto backends = port_->backend_counters(ids);
  if (backends.ok()) backend_rates_.sample(ids, *backends, now);

  const auto sample = [&](RateMeter& rates, const Result<std::vector<sl_counter>>& counters) {
    if (!counters.ok()) return;
    std::vector<uint32_t> indices(counters->size());
    std::iota(indices.begin(), indices.end(), 0U);
    rates.sample(indices, *counters, now);
  };
  sample(reason_rates_, port_->reason_counters());
  sample(flow_rates_, port_->flow_counters());
}

Result<std::vector<std::string>> Controller::end_drains(uint64_t unix_seconds) {
  std::vector<std::string> ended;
  const auto is_due = [&](const model::Backend& backend) {
    return backend.drain_until && *backend.drain_until <= unix_seconds;
  };
  for (const auto& service : state_.config.services)
    for (const auto& backend : service.backends)
      if (is_due(backend)) ended.push_back(backend.address.to_string() + " of " + service.name);
  if (ended.empty()) return ended;
  SLUICE_TRY(change([&](model::Config& config) -> Result<> {
    model::BackendChange down;
    down.state = model::BackendState::kDown;
    for (const auto& service : state_.config.services)
      for (const auto& backend : service.backends)
        if (is_due(backend)) SLUICE_TRY(model::change_backend(config, service.name, backend.address, down));
    return ok();
  }));
  return ended;
}

// The next hop is known, and yet the backend takes no packets.
std::string Controller::why_not_up(const model::Backend& backend, const kernel::NextHop& hop) const {
  const auto path =
      paths_->path_to(backend.address, backend.next_hop ? backend.next_hop : state_.config.defaults.next_hop);
  if (path && dataplane::outer_source(backend.address.family, state_.config.encapsulation, *path))
    return hop.interface +
           " does not take redirected packets: it is gone, or more than 256 interfaces are in use";
  return backend.address.family == Family::kV4 ? "no IPv4 address to send from: set encapsulation.source4"
                                               : "no IPv6 address to send from: set encapsulation.source6";
}

Result<api::ServiceStatus> Controller::service_status(const model::Service& service) const {
  api::ServiceStatus status;
  status.wanted = service;
  status.wanted.backends.clear();
  const plan::ServiceLayout* placed = applier_.placed(ServiceKey::of(service));
  if (placed == nullptr)
    return Error{ErrorCode::kInternal, "service '" + service.name + "' is not in the kernel's tables"};

  const SlotCount count = count_slots(*port_, *placed);
  // A block is larger than its ring for a while after that has shrunk.
  const auto of_ring = [&](uint32_t slots) {
    return static_cast<uint32_t>(uint64_t{slots} * service.ring_slots / placed->slots());
  };
  status.tracked_slots = of_ring(count.tracked);
  const auto of = [](const auto& counts, uint32_t id) {
    const auto found = counts.find(id);
    return found == counts.end() ? 0 : found->second;
  };
  for (const auto& backend : service.backends) {
    const auto found = placed->backends.find(backend.address);
    api::BackendStatus& shown = status.backends.emplace_back();
    shown.wanted = backend;
    if (found == placed->backends.end()) {  // a change failed, and so did going back
      shown.path_detail = "not in the kernel's tables";
      continue;
    }
    shown.id = found->second;
    const auto& fixed = backend.next_hop ? backend.next_hop : state_.config.defaults.next_hop;
    const uint32_t state = port_->backends()[shown.id].state;
    const kernel::NextHop& hop = paths_->next_hop(backend.address, fixed);
    const bool is_resolved =
        state == SL_BACKEND_DOWN ? hop.state == kernel::NextHopState::kResolved : state == SL_BACKEND_UP;
    shown.path = is_resolved ? api::PathState::kResolved : api::PathState::kUnresolved;
    shown.path_detail =
        !is_resolved && hop.state == kernel::NextHopState::kResolved ? why_not_up(backend, hop) : hop.detail;
    shown.slots = of_ring(of(count.current, shown.id));
    shown.origin_slots = of_ring(of(count.origin, shown.id));
    shown.flows = of(applier_.flow_census().of_backend, shown.id);
    shown.traffic =
        backend_rates_.traffic(shown.id, SLUICE_TRY(port_->backend_counters(std::array{shown.id})).front());
    add(status.traffic, status.backends.back().traffic);
  }
  return status;
}

Result<std::vector<api::ServiceStatus>> Controller::services() const {
  std::vector<api::ServiceStatus> all;
  for (const auto& service : state_.config.services) all.push_back(SLUICE_TRY(service_status(service)));
  return all;
}

Result<api::FlowTableStatus> Controller::flow_table() const {
  static constexpr std::pair<const char*, const char*> kEvents[] = {
#define SL_DESCRIBE(enumerator, name, text) {name, text},
      SL_FLOW_EVENTS(SL_DESCRIBE)
#undef SL_DESCRIBE
  };
  const apply::FlowCensus& census = applier_.flow_census();
  api::FlowTableStatus status;
  status.entries = census.entries;
  status.capacity = state_.config.limits.flows;
  if (census.began != apply::Moment::Time{})
    status.age_seconds =
        std::chrono::duration<double>(apply::Moment::Time::clock::now() - census.began).count();
  const auto counters = SLUICE_TRY(port_->flow_counters());
  for (uint32_t event = 0; event < SL_FLOW_EVENT_COUNT; ++event)
    status.counters.push_back({kEvents[event].first, kEvents[event].second, false, false,
                               flow_rates_.traffic(event, counters[event])});
  return status;
}

Result<std::vector<api::ReasonStatus>> Controller::reasons() const {
  struct Description {
    uint32_t reason;
    const char* name;
    const char* text;
  };
  static constexpr Description kReasons[] = {
#define SL_DESCRIBE(enumerator, name, text) {enumerator, name, text},
      SL_PASS_REASONS(SL_DESCRIBE) SL_DROP_REASONS(SL_DESCRIBE) SL_ANSWER_REASONS(SL_DESCRIBE)
#undef SL_DESCRIBE
  };
  const auto counters = SLUICE_TRY(port_->reason_counters());
  std::vector<api::ReasonStatus> all;
  for (const auto& [reason, name, text] : kReasons)
    all.push_back({name, text, reason >= SL_REASON_FIRST_DROP && reason < SL_REASON_FIRST_ANSWER,
                   reason >= SL_REASON_FIRST_ANSWER, reason_rates_.traffic(reason, counters[reason])});
  return all;
}

}  // namespace sluice::agent
