// One scenario at one number of flows: set up, checked, timed, and checked again. One thread.
//
// A figure exists only behind these checks: before any timing, packets of several flows come out as the
// client's packet encapsulated to a backend of the service, and exactly that backend's counter rises; after
// every timed run the last packet did so too, the backends' counters rose by exactly the run's packets,
// nothing was passed or dropped, and the flow table was used as the scenario says and in no other way.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "packet_balancer.h"
#include "packet_run.h"
#include "packet_scenarios.h"

namespace sluice::bench {

struct Case {
  const Scenario* scenario;
  uint32_t flows;
  std::string skipped;  // why; empty: it is not

  std::shared_ptr<Balancer> balancer;  // none behind the floor
  uint64_t packets = 0;                // timed in each run
  std::vector<double> ns;              // a packet, by run

  uint32_t flows_checked = 0;         // before the timing
  uint32_t runs_checked = 0;          // after each
  std::vector<uint64_t> flow_events;  // risen in all timed runs, by enum sl_flow_event
  std::optional<size_t> flow_entries;

  std::string title() const;  // "steady, 4096 flows"
};

struct Volume {  // of one run: whichever is more of packets for this long and every flow once
  double seconds = 0.1;
  uint64_t packets = 0;  // not 0: these instead
};

class Bench {
 public:
  explicit Bench(Wrapper wrapper) : wrapper_(std::move(wrapper)) {}

  // Everything before the timing. May leave the case skipped, where memory is short.
  Result<> prepare(Case& which, const Volume& volume);
  // One timed run.
  Result<> time(Case& which);
  // What is left to be looked at after the last run.
  Result<> finish(Case& which);

 private:
  Result<> make_balancer(Case& which);
  Result<> check_flows(Case& which);
  Result<> fill_flow_table(Case& which);
  Result<> choose_volume(Case& which, const Volume& volume);

  int program_of(const Case& which) const;
  Result<RunDone> checked_run(const Case& which, const RunPlan& plan, Counts* rise = nullptr);

  Wrapper wrapper_;
  std::map<const Scenario*, std::shared_ptr<Balancer>> without_flows_;  // shared by all numbers of flows
};

}  // namespace sluice::bench
