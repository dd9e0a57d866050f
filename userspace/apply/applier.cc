#include "apply/applier.h"

#include <algorithm>
#include <cstring>
#include <unordered_set>

namespace sluice::apply {
namespace {

using dataplane::ServiceKey;

template <typename... Handlers>
struct Overloaded : Handlers... {
  using Handlers::operator()...;
};
template <typename... Handlers>
Overloaded(Handlers...) -> Overloaded<Handlers...>;

const model::Backend* find_backend(const model::Config& config, const ServiceKey& key,
                                   const IpAddress& address) {
  const auto service = std::find_if(config.services.begin(), config.services.end(),
                                    [&](const model::Service& each) { return ServiceKey::of(each) == key; });
  return service == config.services.end() ? nullptr : service->find_backend(address);
}

}  // namespace

Result<Applier> Applier::take_over(dataplane::Port& port, const model::Limits& limits, PathLookup path_to) {
  Applier applier(port, plan::Layout(limits.services, limits.backends, limits.ring_slots), limits.services,
                  std::move(path_to));
  SLUICE_TRY(applier.recover());
  return applier;
}

// What a crash or a failed step may have left: services that cannot be, entries and blocks that nothing names
// but that packets may still be in, and flows of backends that were retired and not yet reclaimed. All of it
// is free only behind the wait.
Result<> Applier::recover() {
  applied_is_known_ = layout_is_known_ = false;
  plan::Recovered found = SLUICE_TRY(plan::recover_layout(*port_, service_capacity_));
  for (const auto& key : found.bad_services) SLUICE_TRY(port_->delete_service(key));
  for (const uint32_t id : found.stray_backends) port_->set_backend_state(id, SL_BACKEND_UNSET);
  SLUICE_TRY(port_->wait_for_packets());
  const auto backends = port_->backends();
  SLUICE_TRY(port_->erase_flows([&](const sl_flow_key&, const sl_flow& flow) {
    if (flow.backend >= backends.size()) return true;
    const uint32_t state = backends[flow.backend].state;
    return state == SL_BACKEND_UNSET || state == SL_BACKEND_DOWN;
  }));
  for (const uint32_t id : found.stray_backends) found.layout.backend_ids.give(id, 1);
  layout_ = std::move(found.layout);
  layout_is_known_ = true;
  settler_ = Settler();
  for (const auto& [key, placed] : layout_.services) settler_.changed(key, Moment::Time::clock::now());
  return ok();
}

Result<> Applier::ensure_layout() {
  return layout_is_known_ ? ok() : recover();
}

Result<plan::Plan> Applier::preview(const model::Config& wanted) const {
  return plan::make_plan(layout_, *port_, applied_is_known_ ? &applied_ : nullptr, wanted);
}

Result<std::vector<plan::Forecast>> Applier::apply(const model::Config& wanted) {
  SLUICE_TRY(ensure_layout());
  plan::Plan plan = SLUICE_TRY(preview(wanted));
  SLUICE_TRY(carry_out(plan, wanted));
  applied_ = wanted;
  applied_is_known_ = true;
  SLUICE_TRY(refresh_paths());
  return std::move(plan.forecasts);
}

Result<> Applier::carry_out(plan::Plan& plan, const model::Config& wanted) {
  for (const auto& step : plan.steps) {
    Result<> done = execute(step, wanted);
    if (done.ok()) continue;
    Error error = std::move(done).error();
    if (const Result<> read = recover(); !read.ok())
      error.message += "; and reading the tables back failed: " + read.error().message;
    return error;
  }
  layout_ = std::move(plan.after);
  for (const auto& forecast : plan.forecasts) settler_.changed(forecast.service, Moment::Time::clock::now());
  return ok();
}

Result<> Applier::execute(const plan::Step& step, const model::Config& wanted) {
  return std::visit(
      Overloaded{
          [&](const plan::PutBackend& put) -> Result<> {
            if (put.is_new) SLUICE_TRY(port_->clear_backend_counter(put.id));
            const model::Backend* backend = find_backend(wanted, put.service, put.address);
            return port_->put_backend(
                put.id, entry_of(put.service_id, put.service.vip.address.family, *backend, wanted));
          },
          [&](const plan::PutBlock& put) -> Result<> {
            port_->write_block(put.base, put.slots, put.origins);
            return ok();
          },
          [&](const plan::ChangeBlock& change) -> Result<> {
            port_->update_origin(change.base, change.origins);
            port_->update_ring(change.base, change.slots);
            return ok();
          },
          [&](const plan::PutService& put) { return port_->put_service(put.key, put.value); },
          [&](const plan::DeleteService& gone) { return port_->delete_service(gone.key); },
          [&](const plan::RetireBackend& gone) -> Result<> {
            port_->set_backend_state(gone.id, gone.state);
            return ok();
          },
          [&](const plan::Reclaim& reclaim) -> Result<> {
            SLUICE_TRY(port_->wait_for_packets());
            if (reclaim.backends.empty()) return ok();
            const std::unordered_set<uint32_t> gone(reclaim.backends.begin(), reclaim.backends.end());
            SLUICE_TRY(port_->erase_flows(
                [&](const sl_flow_key&, const sl_flow& flow) { return gone.contains(flow.backend); }));
            return ok();
          },
      },
      step);
}

Result<> Applier::allow_egress(uint32_t ifindex) {
  if (egress_.contains(ifindex)) return ok();
  SLUICE_TRY(port_->allow_egress(ifindex));
  egress_.insert(ifindex);
  return ok();
}

sl_backend Applier::entry_of(uint32_t service_id, Family inner, const model::Backend& backend,
                             const model::Config& config) {
  const auto& next_hop = backend.next_hop ? backend.next_hop : config.defaults.next_hop;
  auto path = path_to_(backend.address, next_hop);
  // An interface that has just gone takes its backends' paths with it, not the whole change.
  if (path && !allow_egress(path->ifindex).ok()) path.reset();
  sl_backend entry =
      dataplane::make_backend_entry(service_id, backend.address, inner, config.encapsulation, path);
  if (backend.state == model::BackendState::kDown) entry.state = SL_BACKEND_DOWN;
  return entry;
}

Result<size_t> Applier::refresh_paths() {
  SLUICE_TRY(ensure_layout());
  std::vector<dataplane::BackendEntry> changed;
  for (const auto& service : applied_.services) {
    const plan::ServiceLayout* placed_service = placed(ServiceKey::of(service));
    if (placed_service == nullptr) continue;
    for (const auto& backend : service.backends) {
      const auto placed_backend = placed_service->backends.find(backend.address);
      if (placed_backend == placed_service->backends.end()) continue;  // a failed change retired it
      const uint32_t id = placed_backend->second;
      const sl_backend entry =
          entry_of(placed_service->value.id, service.vip.address.family, backend, applied_);
      if (std::memcmp(&entry, &port_->backends()[id], sizeof entry) != 0) changed.push_back({id, entry});
    }
  }
  if (!changed.empty()) SLUICE_TRY(port_->put_backends(changed));
  return changed.size();
}

Result<Settler::Progress> Applier::settle(Moment now) {
  SLUICE_TRY(ensure_layout());
  Settler::Progress progress =
      SLUICE_TRY(settler_.step(*port_, layout_, std::chrono::seconds(applied_.defaults.grace_seconds), now));
  SLUICE_TRY(shrink(progress.settled));
  return progress;
}

Result<> Applier::shrink(const std::vector<ServiceKey>& settled) {
  model::Config others = applied_;
  const size_t removed = std::erase_if(others.services, [&](const model::Service& service) {
    const plan::ServiceLayout* block = placed(ServiceKey::of(service));
    return block != nullptr && block->slots() > service.ring_slots &&
           std::ranges::find(settled, ServiceKey::of(service)) != settled.end();
  });
  if (removed == 0 || !applied_is_known_) return ok();
  plan::Plan plan = SLUICE_TRY(plan::make_plan(layout_, *port_, &others, applied_));
  return carry_out(plan, applied_);
}

const plan::ServiceLayout* Applier::placed(const ServiceKey& key) const {
  const auto found = layout_.services.find(key);
  return found == layout_.services.end() ? nullptr : &found->second;
}

}  // namespace sluice::apply
