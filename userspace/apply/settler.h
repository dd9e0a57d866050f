// Brings tracked slots back to stable once the change that made them is long past.
//
// A service's grace period begins with its last change. When it is over:
//   1. origins are set to `current`, so that a packet that the flow table does not know goes where a new flow
//   would;
//   2. not before packets have seen that, the flow table is read: a live flow that disagrees with `current`
//   keeps
//      its slot tracked; a flow that was silent for the whole grace period is forgotten;
//   3. all other slots become stable, one 32-bit store each, and their flows are dropped from the table.
//
// One thread. Every step is safe to stop after: a new instance starts with a new grace period.
#pragma once

#include <chrono>
#include <map>

#include "dataplane/port.h"
#include "plan/layout.h"

namespace sluice::apply {

class Settler {
 public:
  using Time = std::chrono::steady_clock::time_point;

  // The service's slots were just written.
  void changed(const dataplane::ServiceKey& key, Time now) { waiting_[key] = {now, false}; }

  struct Progress {
    size_t settled_slots = 0;
    size_t forgotten_flows = 0;
  };
  // Does what is due. `now_ns` is CLOCK_MONOTONIC in nanoseconds, the flow table's clock.
  Result<Progress> step(dataplane::Port& port, const plan::Layout& layout, std::chrono::seconds grace,
                        Time now, uint64_t now_ns);

 private:
  struct Waiting {
    Time since;
    bool origins_are_current = false;
    Time look_again{};  // not before: reading the flow table has its cost
  };
  std::map<dataplane::ServiceKey, Waiting> waiting_;
};

}  // namespace sluice::apply
