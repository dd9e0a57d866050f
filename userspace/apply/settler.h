// Reads the flow table, a piece at a time, and does what follows from it: brings tracked slots back to stable
// once the change that made them is long past, takes out flows that are over, and counts those that are not.
//
// A service's grace period begins with its last change. When it is over:
//   1. origins are set to `current`, so that a packet that the flow table does not know goes where a new flow
//      would;
//   2. not before packets have seen that, the flow table is read from beginning to end: a live flow that
//      disagrees with `current` keeps its slot tracked. None can turn up behind the reading: what is written
//      from now on agrees;
//   3. all other slots become stable, one 32-bit store each. The next reading drops their flows.
//
// One thread. Every step is safe to stop after: a new instance starts with a new grace period.
#pragma once

#include <chrono>
#include <map>
#include <optional>
#include <unordered_map>
#include <vector>

#include "dataplane/port.h"
#include "plan/layout.h"

namespace sluice::apply {

// One moment, on the agent's clock and on the flow table's (CLOCK_MONOTONIC in nanoseconds).
struct Moment {
  using Time = std::chrono::steady_clock::time_point;
  Time time;
  uint64_t ns;

  static Moment now();
};

// What a complete reading of the flow table found.
struct FlowCensus {
  Moment::Time began{};
  size_t entries = 0;                               // that were left in the table
  std::unordered_map<uint32_t, size_t> of_backend;  // flows that are not over, by backend id
};

class Settler {
 public:
  static constexpr uint32_t kFlowsAStep = 4096;

  // The service's slots were just written.
  void changed(const dataplane::ServiceKey& key, Moment::Time now);

  struct Progress {
    bool is_reading = false;  // the flow table is not at its end: call again soon
    size_t settled_slots = 0;
    size_t forgotten_flows = 0;
    std::vector<dataplane::ServiceKey> settled;  // services whose last tracked slot became stable
  };
  // Does a piece of what is due: reads about kFlowsAStep flows, where there can be any.
  Result<Progress> step(dataplane::Port& port, plan::Layout& layout, std::chrono::seconds grace, Moment now);

  const FlowCensus& census() const { return census_; }

 private:
  // A service whose origins are `current`, while the flow table is read.
  struct Settling {
    dataplane::ServiceKey key;
    std::vector<bool> disagrees;  // by slot: a live flow is not where a new one would go
  };
  struct Reading {
    dataplane::FlowCursor cursor;
    FlowCensus census;
    std::map<uint32_t, Settling> settling;  // by service id
  };

  Result<> begin_reading(dataplane::Port& port, plan::Layout& layout, std::chrono::seconds grace, Moment now);
  Result<> read_on(dataplane::Port& port, const plan::Layout& layout, std::chrono::seconds grace,
                   uint64_t now_ns, Progress& progress);
  void end_reading(dataplane::Port& port, const plan::Layout& layout, Progress& progress);

  std::map<dataplane::ServiceKey, Moment::Time>
      waiting_;  // services with tracked slots, since their last change
  std::optional<Reading> reading_;
  bool look_again_ = true;  // the table may hold flows that the last reading did not count
  FlowCensus census_;
};

}  // namespace sluice::apply
