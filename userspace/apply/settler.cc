#include "apply/settler.h"

#include <algorithm>
#include <ctime>

#include "plan/service_flags.h"
#include "plan/slots.h"

namespace sluice::apply {
namespace {

using dataplane::ServiceKey;
using plan::ServiceLayout;

std::span<const uint32_t> slots_of(const dataplane::Port& port, const ServiceLayout& placed) {
  return port.ring().subspan(placed.value.ring_base, placed.slots());
}

bool tracks_all(const ServiceLayout& placed) {
  return (placed.value.flags & SL_SERVICE_TRACK_ALL) != 0;
}

// Step 1. From here on origins are for the hash of today, too. Returns whether anything had to be written.
Result<bool> set_origins_to_current(dataplane::Port& port, const ServiceKey& key, ServiceLayout& placed) {
  const auto slots = slots_of(port, placed);
  std::vector<uint32_t> origins(slots.size());
  std::ranges::transform(slots, origins.begin(), [](uint32_t slot) { return slot & ~SL_SLOT_TRACKED; });
  const bool differ =
      !std::ranges::equal(origins, port.origin().subspan(placed.value.ring_base, placed.slots()));
  if (differ) port.update_origin(placed.value.ring_base, origins);
  sl_service value = placed.value;
  value.flags = plan::with_origin_hash(value.flags, plan::slot_hash_of(value.flags));
  if (value.flags == placed.value.flags) return differ;
  SLUICE_TRY(port.put_service(key, value));
  placed.value = value;
  return true;
}

// Step 3; returns how many slots became stable.
size_t make_stable(dataplane::Port& port, const ServiceLayout& placed, const std::vector<bool>& disagrees) {
  const auto view = slots_of(port, placed);
  std::vector<uint32_t> slots(view.begin(), view.end());
  size_t settled = 0;
  for (size_t i = 0; i < slots.size(); ++i) {
    if ((slots[i] & SL_SLOT_TRACKED) == 0 || disagrees[i]) continue;
    slots[i] &= ~SL_SLOT_TRACKED;
    ++settled;
  }
  if (settled != 0) port.update_ring(placed.value.ring_base, slots);
  return settled;
}

// At least, for `seen` may be that much older than the flow's last packet.
uint64_t silence(const sl_flow& flow, uint64_t now_ns) {
  constexpr uint64_t kSeenLag = 1'000'000'000;  // sl_config.flow_seen_every
  return now_ns > flow.seen + kSeenLag ? now_ns - flow.seen - kSeenLag : 0;
}

// Whether nothing of the flow can be expected any more: reset, or silent for longer than is promised. A
// client that has sent FIN may still wait for its answer.
bool is_over(const sl_flow_key& key, const sl_flow& flow, uint64_t grace_ns, uint64_t now_ns) {
  const uint64_t silent = silence(flow, now_ns);
  if (key.protocol == static_cast<uint8_t>(model::Protocol::kUdp)) return silent > SL_FLOW_UDP_IDLE;
  if ((flow.closed & SL_CLOSED_RST) != 0 && silent > SL_FLOW_CLOSED_IDLE) return true;
  return silent > grace_ns || (flow.closed != 0 && silent > SL_FLOW_HALF_CLOSED_IDLE);
}

bool counts(const sl_flow& flow, uint64_t now_ns) {
  return flow.closed == 0 || silence(flow, now_ns) <= SL_FLOW_CLOSED_IDLE;
}

}  // namespace

Moment Moment::now() {
  timespec monotonic{};
  ::clock_gettime(CLOCK_MONOTONIC, &monotonic);
  return {Time::clock::now(),
          static_cast<uint64_t>(monotonic.tv_sec) * 1'000'000'000 + static_cast<uint64_t>(monotonic.tv_nsec)};
}

void Settler::changed(const ServiceKey& key, Moment::Time now) {
  waiting_[key] = now;
  look_again_ = true;
  if (reading_) std::erase_if(reading_->settling, [&](const auto& each) { return each.second.key == key; });
}

Result<Settler::Progress> Settler::step(dataplane::Port& port, plan::Layout& layout,
                                        std::chrono::seconds grace, Moment now) {
  Progress progress;
  if (!reading_) {
    std::erase_if(waiting_, [&](const auto& each) {
      const auto placed = layout.services.find(each.first);
      return placed == layout.services.end() || !plan::any_tracked(slots_of(port, placed->second));
    });
    const bool may_hold_flows =
        look_again_ || !waiting_.empty() || census_.entries != 0 ||
        std::ranges::any_of(layout.services, [](const auto& each) { return tracks_all(each.second); });
    if (!may_hold_flows) {
      census_ = {};
      return progress;
    }
    SLUICE_TRY(begin_reading(port, layout, grace, now));
  }
  SLUICE_TRY(read_on(port, layout, grace, now.ns, progress));
  progress.is_reading = !reading_->cursor.is_at_end;
  if (!progress.is_reading) end_reading(port, layout, progress);
  return progress;
}

Result<> Settler::begin_reading(dataplane::Port& port, plan::Layout& layout, std::chrono::seconds grace,
                                Moment now) {
  Reading reading;
  reading.census.began = now.time;
  bool wrote = false;
  for (const auto& [key, since] : waiting_) {
    if (now.time - since < grace) continue;
    ServiceLayout& placed = layout.services.at(key);
    wrote |= SLUICE_TRY(set_origins_to_current(port, key, placed));
    reading.settling[placed.value.id] = {key, std::vector<bool>(placed.slots())};
  }
  if (wrote) SLUICE_TRY(port.wait_for_packets());
  look_again_ = false;
  reading_ = std::move(reading);
  return ok();
}

Result<> Settler::read_on(dataplane::Port& port, const plan::Layout& layout, std::chrono::seconds grace,
                          uint64_t now_ns, Progress& progress) {
  std::unordered_map<uint32_t, const ServiceLayout*> services;  // by id
  for (const auto& [key, placed] : layout.services) services[placed.value.id] = &placed;
  const auto grace_ns = static_cast<uint64_t>(std::chrono::nanoseconds(grace).count());
  const auto judge = [&](const sl_flow_key& key, const sl_flow& flow) {
    const auto service = services.find(flow.service_id);
    if (service == services.end() || is_over(key, flow, grace_ns, now_ns)) return true;
    const ServiceLayout& placed = *service->second;
    const uint32_t slot = flow.hash & placed.value.ring_mask;
    const uint32_t current = port.ring()[placed.value.ring_base + slot];
    if ((current & SL_SLOT_TRACKED) == 0 && !tracks_all(placed)) return true;  // it settled
    const auto settling = reading_->settling.find(flow.service_id);
    if (settling != reading_->settling.end() && flow.backend != (current & ~SL_SLOT_TRACKED) &&
        !tracks_all(placed))  // there the table leads, whatever the slots say
      settling->second.disagrees[slot] = true;
    if (counts(flow, now_ns)) ++reading_->census.of_backend[flow.backend];
    ++reading_->census.entries;
    return false;
  };
  progress.forgotten_flows = SLUICE_TRY(port.erase_some_flows(reading_->cursor, kFlowsAStep, judge));
  return ok();
}

void Settler::end_reading(dataplane::Port& port, const plan::Layout& layout, Progress& progress) {
  for (const auto& [id, settling] : reading_->settling) {
    const ServiceLayout& placed = layout.services.at(settling.key);
    const size_t settled = make_stable(port, placed, settling.disagrees);
    progress.settled_slots += settled;
    look_again_ |= settled != 0;
    if (settled != 0 && !plan::any_tracked(slots_of(port, placed))) progress.settled.push_back(settling.key);
  }
  census_ = std::move(reading_->census);
  reading_.reset();
}

}  // namespace sluice::apply
