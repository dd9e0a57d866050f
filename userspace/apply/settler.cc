#include "apply/settler.h"

#include <algorithm>
#include <vector>

namespace sluice::apply {
namespace {

using plan::ServiceLayout;

// A service whose origins are already `current`, while the flow table is read.
struct Settling {
  dataplane::ServiceKey key;
  const ServiceLayout* placed;
  std::vector<bool> disagrees;  // by slot: a live flow is not where a new one would go
};

std::vector<uint32_t> slots_of(const dataplane::Port& port, const ServiceLayout& placed) {
  const auto view = port.ring().subspan(placed.value.ring_base, placed.slots());
  return {view.begin(), view.end()};
}

bool any_tracked(const std::vector<uint32_t>& slots) {
  return std::any_of(slots.begin(), slots.end(), [](uint32_t slot) { return (slot & SL_SLOT_TRACKED) != 0; });
}

void set_origins_to_current(dataplane::Port& port, const ServiceLayout& placed) {
  const auto slots = slots_of(port, placed);
  std::vector<uint32_t> origins(slots.size());
  std::transform(slots.begin(), slots.end(), origins.begin(),
                 [](uint32_t slot) { return slot & ~SL_SLOT_TRACKED; });
  port.write_block(placed.value.ring_base, slots, origins);
}

size_t make_stable(dataplane::Port& port, const Settling& settling) {
  auto slots = slots_of(port, *settling.placed);
  std::vector<uint32_t> origins(slots.size());
  size_t settled = 0;
  for (size_t i = 0; i < slots.size(); ++i) {
    origins[i] = slots[i] & ~SL_SLOT_TRACKED;
    if ((slots[i] & SL_SLOT_TRACKED) == 0 || settling.disagrees[i]) continue;
    slots[i] = origins[i];
    ++settled;
  }
  if (settled != 0) port.write_block(settling.placed->value.ring_base, slots, origins);
  return settled;
}

}  // namespace

Result<Settler::Progress> Settler::step(dataplane::Port& port, const plan::Layout& layout,
                                        std::chrono::seconds grace, Time now, uint64_t now_ns) {
  Progress progress;
  std::map<uint32_t, Settling> settling;  // by service id
  for (auto each = waiting_.begin(); each != waiting_.end();) {
    const auto placed = layout.services.find(each->first);
    if (placed == layout.services.end() || !any_tracked(slots_of(port, placed->second))) {
      each = waiting_.erase(each);
      continue;
    }
    if (now - each->second.since >= grace && now >= each->second.look_again) {
      each->second.look_again = now + grace / 10;
      if (each->second.origins_are_current)
        settling[placed->second.value.id] = {each->first, &placed->second,
                                             std::vector<bool>(placed->second.slots())};
      else
        set_origins_to_current(port, placed->second);
      if (!each->second.origins_are_current) each->second.look_again = now;
      each->second.origins_are_current = true;
    }
    ++each;
  }
  if (settling.empty()) return progress;

  SLUICE_TRY(port.wait_for_packets());
  const auto grace_ns = static_cast<uint64_t>(std::chrono::nanoseconds(grace).count());
  const auto judge = [&](const sl_flow_key&, const sl_flow& flow) {
    const auto found = settling.find(flow.service_id);
    if (found == settling.end()) return false;
    const ServiceLayout& placed = *found->second.placed;
    const uint32_t slot = flow.hash & placed.value.ring_mask;
    const uint32_t current = port.ring()[placed.value.ring_base + slot] & ~SL_SLOT_TRACKED;
    const bool is_silent = now_ns > flow.seen && now_ns - flow.seen > grace_ns;
    if ((placed.value.flags & SL_SERVICE_TRACK_ALL) != 0)
      return is_silent;  // the table leads, whatever the slots say
    if (is_silent || flow.backend == current) return true;
    found->second.disagrees[slot] = true;
    return false;
  };
  progress.forgotten_flows = SLUICE_TRY(port.erase_flows(judge));
  for (const auto& [id, service] : settling) progress.settled_slots += make_stable(port, service);
  return progress;
}

}  // namespace sluice::apply
