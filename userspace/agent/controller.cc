#include "agent/controller.h"

#include <array>
#include <map>
#include <numeric>

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

  std::vector<uint32_t> reasons(SL_REASON_COUNT);
  std::iota(reasons.begin(), reasons.end(), 0U);
  const auto counters = port_->reason_counters();
  if (counters.ok()) reason_rates_.sample(reasons, *counters, now);
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

  std::map<uint32_t, uint32_t> slots;
  for (const uint32_t slot : port_->ring().subspan(placed->value.ring_base, placed->slots())) {
    ++slots[slot & ~SL_SLOT_TRACKED];
    if ((slot & SL_SLOT_TRACKED) != 0) ++status.tracked_slots;
  }
  for (const auto& backend : service.backends) {
    const auto found = placed->backends.find(backend.address);
    if (found == placed->backends.end()) {  // a change failed, and so did going back
      status.backends.push_back(
          {backend, 0, 0, api::PathState::kUnresolved, "not in the kernel's tables", {}});
      continue;
    }
    const uint32_t id = found->second;
    const auto counters = SLUICE_TRY(port_->backend_counters(std::array{id}));
    const auto& fixed = backend.next_hop ? backend.next_hop : state_.config.defaults.next_hop;
    const bool is_up = port_->backends()[id].state == SL_BACKEND_UP;
    const kernel::NextHop& hop = paths_->next_hop(backend.address, fixed);
    std::string detail = hop.detail;
    if (!is_up && hop.state == kernel::NextHopState::kResolved) detail = why_not_up(backend, hop);
    status.backends.push_back({backend, id, slots[id],
                               is_up ? api::PathState::kResolved : api::PathState::kUnresolved,
                               std::move(detail), backend_rates_.traffic(id, counters.front())});
    add(status.traffic, status.backends.back().traffic);
  }
  return status;
}

Result<std::vector<api::ServiceStatus>> Controller::services() const {
  std::vector<api::ServiceStatus> all;
  for (const auto& service : state_.config.services) all.push_back(SLUICE_TRY(service_status(service)));
  return all;
}

Result<std::vector<api::ReasonStatus>> Controller::reasons() const {
  struct Description {
    uint32_t reason;
    const char* name;
    const char* text;
  };
  static constexpr Description kReasons[] = {
#define SL_DESCRIBE(enumerator, name, text) {enumerator, name, text},
      SL_PASS_REASONS(SL_DESCRIBE) SL_DROP_REASONS(SL_DESCRIBE)
#undef SL_DESCRIBE
  };
  const auto counters = SLUICE_TRY(port_->reason_counters());
  std::vector<api::ReasonStatus> all;
  for (const auto& [reason, name, text] : kReasons)
    all.push_back(
        {name, text, reason >= SL_REASON_FIRST_DROP, reason_rates_.traffic(reason, counters[reason])});
  return all;
}

}  // namespace sluice::agent
