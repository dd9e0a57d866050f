// What the kernel tables hold: which service owns which ring block, which backend has which id, and what is
// free. Names do not occur here; a service is its key, a backend its address within the service.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "dataplane/port.h"
#include "plan/allocator.h"

namespace sluice::plan {

struct ServiceLayout {
  sl_service value{};                      // as published
  std::map<IpAddress, uint32_t> backends;  // address -> id

  uint32_t slots() const { return value.ring_mask + 1; }
};

struct Layout {
  Layout(uint32_t service_capacity, uint32_t backend_capacity, uint32_t ring_slots)
      : service_ids(1, service_capacity), backend_ids(1, backend_capacity), ring(0, ring_slots) {}

  std::map<dataplane::ServiceKey, ServiceLayout> services;
  RangeAllocator service_ids;
  RangeAllocator backend_ids;
  RangeAllocator ring;
};

// The layout read back from the tables, after a restart.
struct Recovered {
  Layout layout;
  std::vector<uint32_t> stray_backends;             // live entries that belong to no service: to be retired
  std::vector<dataplane::ServiceKey> bad_services;  // their block or id is impossible: to be deleted
};
Result<Recovered> recover_layout(const dataplane::Port& port, uint32_t service_capacity);

}  // namespace sluice::plan
