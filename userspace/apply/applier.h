// Brings the data plane to a desired state: plans, does the plan's steps through the port, and keeps each
// backend's entry true to its path.
//
// One thread. When a step fails the tables are read back, so that the next apply() starts from what is really
// there; nothing that was published before is taken back.
#pragma once

#include <functional>
#include <optional>
#include <set>
#include <vector>

#include "apply/settler.h"
#include "dataplane/backend_entry.h"
#include "dataplane/port.h"
#include "model/config.h"
#include "plan/plan.h"

namespace sluice::apply {

// The path to a backend now; nullopt: not known (yet).
using PathLookup = std::function<std::optional<dataplane::Path>(const IpAddress& backend,
                                                                const std::optional<MacAddress>& next_hop)>;

class Applier {
 public:
  // Takes over what the tables hold. Limits must be those that the port was made with.
  static Result<Applier> take_over(dataplane::Port& port, const model::Limits& limits, PathLookup path_to);

  // The plan for `wanted`, not done.
  Result<plan::Plan> preview(const model::Config& wanted) const;
  // Makes `wanted` true, or changes nothing that packets see until the step that failed.
  Result<std::vector<plan::Forecast>> apply(const model::Config& wanted);

  // Rewrites the entries whose path has changed; returns how many.
  Result<size_t> refresh_paths();

  // Does a piece of what the flow table asks for, and makes slots stable again whose grace period is over
  // (see Settler). A block that is larger than its ring, since the ring shrank, shrinks when its slots are
  // stable.
  Result<Settler::Progress> settle(Moment now);
  const FlowCensus& flow_census() const { return settler_.census(); }

  const model::Config& applied() const { return applied_; }
  // nullptr: no such service in the tables.
  const plan::ServiceLayout* placed(const dataplane::ServiceKey& key) const;

 private:
  Applier(dataplane::Port& port, plan::Layout layout, uint32_t service_capacity, PathLookup path_to)
      : port_(&port),
        layout_(std::move(layout)),
        service_capacity_(service_capacity),
        path_to_(std::move(path_to)) {}

  Result<> carry_out(plan::Plan& plan, const model::Config& wanted);
  Result<> shrink(const std::vector<dataplane::ServiceKey>& settled);
  Result<> execute(const plan::Step& step, const model::Config& wanted);
  sl_backend entry_of(uint32_t service_id, Family inner, const model::Backend& backend,
                      const model::Config& config);
  Result<> allow_egress(uint32_t ifindex);
  Result<> recover();
  Result<> ensure_layout();  // what a recover() that failed left to do

  dataplane::Port* port_;
  plan::Layout layout_;
  uint32_t service_capacity_;
  PathLookup path_to_;
  model::Config applied_;
  Settler settler_;
  std::set<uint32_t> egress_;      // interfaces that were opened for redirects by this instance
  bool applied_is_known_ = false;  // false: the tables must be compared slot by slot
  bool layout_is_known_ = false;   // false: the tables must be read before anything is written
};

}  // namespace sluice::apply
