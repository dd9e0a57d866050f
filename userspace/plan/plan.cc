#include "plan/plan.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <set>

#include "plan/service_flags.h"
#include "plan/slots.h"
#include "ring/ring.h"

namespace sluice::plan {
namespace {

using dataplane::ServiceKey;

Error table_full(std::string_view what, std::string_view limit, std::string_view key) {
  return Error{ErrorCode::kNoSpace,
               fmt::format("{} needs more {} than are free: raise limits.{}", key, what, limit)};
}

// Whether the tables would be the same for both. Where packets go to is the path's business, not the plan's.
bool same_tables(const model::Service& a, const model::Service& b) {
  const auto same_backend = [](const model::Backend& x, const model::Backend& y) {
    return x.address == y.address && x.weight == y.weight && x.state == y.state;
  };
  return ServiceKey::of(a) == ServiceKey::of(b) && a.ring_slots == b.ring_slots && a.flows == b.flows &&
         a.hash == b.hash &&
         std::equal(a.backends.begin(), a.backends.end(), b.backends.begin(), b.backends.end(), same_backend);
}

class Planner {
 public:
  Planner(const Layout& layout, const dataplane::Port& tables) : tables_(tables), plan_{{}, {}, layout} {}

  Result<> converge(const model::Service& service);
  void remove(const ServiceKey& key);
  Plan finish() &&;

 private:
  Result<> add_backends(ServiceLayout& placed, const model::Service& service);
  Result<> change_ring(ServiceLayout& placed, const model::Service& service, bool is_new);
  void retire_missing(ServiceLayout& placed, const model::Service& service);
  void take_down(const ServiceLayout& placed, const model::Service& service);
  void retire(uint32_t id);
  void reclaim();
  std::optional<uint32_t> take(RangeAllocator& from, uint32_t count);

  const dataplane::Port& tables_;
  Plan plan_;
  std::vector<uint32_t> retired_;  // their ids will be free
  std::vector<uint32_t> downed_;   // theirs not
  std::vector<std::pair<uint32_t, uint32_t>> freed_blocks_;
  std::vector<uint32_t> freed_services_;
};

Result<> Planner::converge(const model::Service& service) {
  const ServiceKey key = ServiceKey::of(service);
  const bool is_new = !plan_.after.services.contains(key);
  ServiceLayout& placed = plan_.after.services[key];
  if (is_new) {
    const auto id = take(plan_.after.service_ids, 1);
    if (!id) return table_full("services", "services", key.to_string());
    placed.value.id = *id;
  }
  SLUICE_TRY(add_backends(placed, service));
  SLUICE_TRY(change_ring(placed, service, is_new));
  retire_missing(placed, service);
  take_down(placed, service);
  return ok();
}

Result<> Planner::add_backends(ServiceLayout& placed, const model::Service& service) {
  const ServiceKey key = ServiceKey::of(service);
  for (const auto& backend : service.backends) {
    if (const auto known = placed.backends.find(backend.address); known != placed.backends.end()) {
      const bool rises = tables_.backends()[known->second].state == SL_BACKEND_DOWN &&
                         backend.state != model::BackendState::kDown;
      if (rises)
        plan_.steps.emplace_back(PutBackend{known->second, placed.value.id, key, backend.address, false});
      continue;
    }
    const auto id = take(plan_.after.backend_ids, 1);
    if (!id) return table_full("backends", "backends", key.to_string());
    placed.backends[backend.address] = *id;
    plan_.steps.emplace_back(PutBackend{*id, placed.value.id, key, backend.address, true});
  }
  return ok();
}

// Which slots the flow table is to lead in, and the hash that origins are for, once the service has `flags`.
struct Continuity {
  Tracking tracking;
  sl_slot_hash origin_hash;
};

// UDP does not say which packet is a flow's first, so there a packet that the table does not know is a new
// flow's, and no slot has older ones to keep.
Continuity continuity(model::Protocol protocol, uint32_t flags_before, std::span<const uint32_t> slots_before,
                      uint32_t flags) {
  const sl_slot_hash hash = slot_hash_of(flags);
  if (slots_before.empty() || protocol == model::Protocol::kUdp || (flags & SL_SERVICE_TRACK_NONE) != 0)
    return {Tracking::kNone, hash};
  // While a slot is tracked the origins are for flows of the time when all were stable.
  const sl_slot_hash older =
      any_tracked(slots_before) ? origin_hash_of(flags_before) : slot_hash_of(flags_before);
  const bool table_leads_no_more = (flags_before & ~flags & SL_SERVICE_TRACK_ALL) != 0;
  return {table_leads_no_more || older != hash ? Tracking::kAllSlots : Tracking::kMovedSlots, older};
}

std::vector<uint32_t> build_ring(const ServiceLayout& placed, const model::Service& service) {
  std::vector<ring::Member> members;
  for (const auto& backend : service.backends)
    if (backend.state == model::BackendState::kUp)
      members.push_back({{static_cast<uint8_t>(backend.address.family), backend.address.bytes},
                         backend.weight,
                         placed.backends.at(backend.address)});
  return ring::build(members, service.ring_slots);
}

Result<> Planner::change_ring(ServiceLayout& placed, const model::Service& service, bool is_new) {
  const ServiceKey key = ServiceKey::of(service);
  std::set<uint32_t> staying;
  for (const auto& backend : service.backends)
    if (backend.state != model::BackendState::kDown) staying.insert(placed.backends.at(backend.address));

  std::span<const uint32_t> current, origin;
  if (!is_new) {
    current = tables_.ring().subspan(placed.value.ring_base, placed.slots());
    origin = tables_.origin().subspan(placed.value.ring_base, placed.slots());
  }
  const uint32_t wanted_flags = service_flags(service);
  const auto [tracking, origin_hash] =
      continuity(service.protocol, placed.value.flags, current, wanted_flags);
  const uint32_t flags = with_origin_hash(wanted_flags, origin_hash);
  SlotChange change = change_slots(current, origin, build_ring(placed, service), tracking,
                                   [&](uint32_t id) { return staying.contains(id); });
  if (!is_new && !change.differs && placed.value.flags == flags) return ok();

  const auto slots = static_cast<uint32_t>(change.slots.current.size());
  // Under another hash a flow finds another slot, whether or not the slots move.
  const bool rehashes = !is_new && slot_hash_of(placed.value.flags) != slot_hash_of(flags);
  plan_.forecasts.push_back({key, slots, rehashes ? slots : change.moved, change.tracked});
  const auto base = take(plan_.after.ring, slots);
  if (!base && (is_new || slots != placed.slots()))
    return table_full("ring slots", "ring_slots", key.to_string());
  const bool is_published_so = !base && placed.value.flags == flags;
  placed.value.flags = flags;
  if (base) {
    if (!is_new) freed_blocks_.emplace_back(placed.value.ring_base, placed.slots());
    placed.value.ring_base = *base;
    placed.value.ring_mask = slots - 1;
    plan_.steps.emplace_back(
        PutBlock{*base, std::move(change.slots.current), std::move(change.slots.origin)});
  } else {
    plan_.steps.emplace_back(
        ChangeBlock{placed.value.ring_base, std::move(change.slots.current), std::move(change.slots.origin)});
  }
  if (!is_published_so) plan_.steps.emplace_back(PutService{key, placed.value});
  return ok();
}

void Planner::retire(uint32_t id) {
  plan_.steps.emplace_back(RetireBackend{id, SL_BACKEND_UNSET});
  retired_.push_back(id);
}

void Planner::retire_missing(ServiceLayout& placed, const model::Service& service) {
  std::erase_if(placed.backends, [&](const auto& backend) {
    if (service.find_backend(backend.first) != nullptr) return false;
    retire(backend.second);
    return true;
  });
}

void Planner::take_down(const ServiceLayout& placed, const model::Service& service) {
  for (const auto& backend : service.backends) {
    if (backend.state != model::BackendState::kDown) continue;
    const uint32_t id = placed.backends.at(backend.address);
    const uint32_t state = tables_.backends()[id].state;
    if (state == SL_BACKEND_DOWN || state == SL_BACKEND_UNSET) continue;  // UNSET: this plan brings it
    plan_.steps.emplace_back(RetireBackend{id, SL_BACKEND_DOWN});
    downed_.push_back(id);
  }
}

void Planner::remove(const ServiceKey& key) {
  const auto found = plan_.after.services.find(key);
  const ServiceLayout& placed = found->second;
  plan_.forecasts.push_back({key, placed.slots(), placed.slots(), 0});
  plan_.steps.emplace_back(DeleteService{key});
  for (const auto& [address, id] : placed.backends) retire(id);
  freed_blocks_.emplace_back(placed.value.ring_base, placed.slots());
  freed_services_.push_back(placed.value.id);
  plan_.after.services.erase(found);
}

// What was freed is free only behind a Reclaim.
void Planner::reclaim() {
  if (retired_.empty() && downed_.empty() && freed_blocks_.empty() && freed_services_.empty()) return;
  Reclaim reclaim{retired_};
  reclaim.backends.insert(reclaim.backends.end(), downed_.begin(), downed_.end());
  plan_.steps.emplace_back(std::move(reclaim));
  for (const uint32_t id : retired_) plan_.after.backend_ids.give(id, 1);
  for (const auto& [base, count] : freed_blocks_) plan_.after.ring.give(base, count);
  for (const uint32_t id : freed_services_) plan_.after.service_ids.give(id, 1);
  retired_.clear();
  downed_.clear();
  freed_blocks_.clear();
  freed_services_.clear();
}

// Where a table is too small for everything at once, what earlier steps freed is reclaimed in the middle of
// the plan.
std::optional<uint32_t> Planner::take(RangeAllocator& from, uint32_t count) {
  const auto base = from.take(count);
  if (base) return base;
  reclaim();
  return from.take(count);
}

Plan Planner::finish() && {
  reclaim();
  return std::move(plan_);
}

}  // namespace

Result<Plan> make_plan(const Layout& layout, const dataplane::Port& tables, const model::Config* applied,
                       const model::Config& wanted) {
  Planner planner(layout, tables);
  std::set<ServiceKey> keys;
  for (const auto& service : wanted.services) keys.insert(ServiceKey::of(service));
  for (const auto& [key, placed] : layout.services)
    if (!keys.contains(key)) planner.remove(key);
  std::map<ServiceKey, const model::Service*> before;
  if (applied != nullptr)
    for (const auto& service : applied->services) before[ServiceKey::of(service)] = &service;
  for (const auto& service : wanted.services) {
    const auto was = before.find(ServiceKey::of(service));
    if (was != before.end() && same_tables(*was->second, service)) continue;
    SLUICE_TRY(planner.converge(service));
  }
  return std::move(planner).finish();
}

}  // namespace sluice::plan
