// The plan: from what the tables hold to what is wanted, as ordered steps. Pure; nothing is done here.
//
// Order within a service: backends, then the new ring block, then the service that publishes it; what is no
// longer used is retired after. Where there is no room for a second block of the same size, the one that is
// there is changed under traffic, origins first: a stable slot's origin is its backend already, so that to
// mark it as tracked and to move it is one store. Every step is safe to stop after: a block or backend that
// nothing names yet is found and reused or retired by the next plan.
#pragma once

#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "model/config.h"
#include "plan/layout.h"

namespace sluice::plan {

struct PutBackend {  // a backend that no slot names and no flow is on
  uint32_t id;
  uint32_t service_id;
  dataplane::ServiceKey service;
  IpAddress address;
  bool is_new;  // under an id that was another's or nobody's; false: it comes back from SL_BACKEND_DOWN
};
struct PutBlock {
  uint32_t base;
  std::vector<uint32_t> slots;
  std::vector<uint32_t> origins;
};
struct ChangeBlock {  // while packets read it; every slot is right before and after its own two stores
  uint32_t base;
  std::vector<uint32_t> slots;
  std::vector<uint32_t> origins;
};
struct PutService {
  dataplane::ServiceKey key;
  sl_service value;
};
struct DeleteService {
  dataplane::ServiceKey key;
};
struct RetireBackend {  // flows and origins that name it are void from now on
  uint32_t id;
  sl_backend_state state;  // SL_BACKEND_UNSET, or SL_BACKEND_DOWN where it keeps its id
};
struct Reclaim {  // wait for packets, drop flows of these backends; then ids and blocks may be used again
  std::vector<uint32_t> backends;
};
using Step =
    std::variant<PutBackend, PutBlock, PutService, DeleteService, RetireBackend, Reclaim, ChangeBlock>;

// What a change means to one service's traffic.
struct Forecast {
  dataplane::ServiceKey service;
  uint32_t slots = 0;
  uint32_t moved = 0;    // slots that new flows find another backend in
  uint32_t tracked = 0;  // slots in which older flows are kept where they are
};

struct Plan {
  std::vector<Step> steps;
  std::vector<Forecast> forecasts;  // of the services that change
  Layout after;                     // once every step is done
};

// `applied` is the configuration that `layout` was made from: services that are alike in both are skipped.
// Without it every ring is built and compared with the tables, which repairs whatever differs. kNoSpace: a
// table is too small; the message says which and what to raise.
Result<Plan> make_plan(const Layout& layout, const dataplane::Port& tables, const model::Config* applied,
                       const model::Config& wanted);

}  // namespace sluice::plan
