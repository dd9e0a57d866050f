#include "plan/layout.h"

#include <bit>

#include "dataplane/backend_entry.h"

namespace sluice::plan {
namespace {

bool is_plausible(const sl_service& value) {
  const uint32_t slots = value.ring_mask + 1;  // 0 for the mask of 2^32 slots
  return std::has_single_bit(slots) && slots >= SL_SLOTS_PER_LINE && value.ring_base % SL_SLOTS_PER_LINE == 0;
}

}  // namespace

Result<Recovered> recover_layout(const dataplane::Port& port, uint32_t service_capacity) {
  const auto backends = port.backends();
  Recovered recovered{Layout(service_capacity, static_cast<uint32_t>(backends.size() - 1),
                             static_cast<uint32_t>(port.ring().size())),
                      {},
                      {}};
  Layout& layout = recovered.layout;
  std::map<uint32_t, ServiceLayout*> by_id;
  for (const auto& [key, value] : SLUICE_TRY(port.services())) {
    if (!is_plausible(value) || !layout.service_ids.reserve(value.id, 1)) {
      recovered.bad_services.push_back(key);
      continue;
    }
    if (!layout.ring.reserve(value.ring_base, value.ring_mask + 1)) {
      layout.service_ids.give(value.id, 1);
      recovered.bad_services.push_back(key);
      continue;
    }
    by_id[value.id] = &layout.services.emplace(key, ServiceLayout{value, {}}).first->second;
  }
  for (uint32_t id = 1; id < backends.size(); ++id) {
    if (backends[id].state == SL_BACKEND_UNSET) continue;
    layout.backend_ids.reserve(id, 1);
    const auto owner = by_id.find(backends[id].service_id);
    const bool placed = owner != by_id.end() &&
                        owner->second->backends.emplace(dataplane::address_of(backends[id]), id).second;
    if (!placed) recovered.stray_backends.push_back(id);
  }
  return recovered;
}

}  // namespace sluice::plan
