// Where a change becomes true: edits the desired state, sees that it can be done, writes it to disk, then
// brings the data plane to it. A change that fails at any point leaves desired state, disk and data plane as
// they were, or says what it could not take back.
//
// One thread; every call runs to its end.
#pragma once

#include <functional>

#include "agent/path_table.h"
#include "agent/rate_meter.h"
#include "agent/state_store.h"
#include "api/messages.h"
#include "apply/applier.h"
#include "dataplane/port.h"

namespace sluice::agent {

class Controller {
 public:
  // Brings the data plane to `initial` and saves it.
  static Result<Controller> start(dataplane::Port& port, const StateStore& store, PathTable& paths,
                                  StoredState initial);

  using Edit = std::function<Result<>(model::Config&)>;
  Result<api::Changed> change(const Edit& edit);

  // Asks for every path again and rewrites the entries that changed; returns how many.
  Result<size_t> refresh_paths();
  void sample_rates();
  Result<apply::Settler::Progress> settle() { return applier_.settle(apply::Moment::now()); }
  // Takes down the backends whose drain was to end by `unix_seconds`; returns what was changed, in words.
  Result<std::vector<std::string>> end_drains(uint64_t unix_seconds);

  const model::Config& wanted() const { return state_.config; }
  uint64_t revision() const { return state_.revision; }
  Result<std::vector<api::ServiceStatus>> services() const;
  Result<std::vector<api::ReasonStatus>> reasons() const;
  Result<api::FlowTableStatus> flow_table() const;

 private:
  Controller(dataplane::Port& port, const StateStore& store, PathTable& paths, apply::Applier applier,
             StoredState state)
      : port_(&port),
        store_(&store),
        paths_(&paths),
        applier_(std::move(applier)),
        state_(std::move(state)) {}

  std::string why_not_up(const model::Backend& backend, const kernel::NextHop& hop) const;
  Result<api::ServiceStatus> service_status(const model::Service& service) const;

  dataplane::Port* port_;
  const StateStore* store_;
  PathTable* paths_;
  apply::Applier applier_;
  StoredState state_;
  RateMeter backend_rates_, reason_rates_, flow_rates_;
};

}  // namespace sluice::agent
