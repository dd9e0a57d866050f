// What the agent wants when it starts: the configuration file and the stored state, brought together.
//
// Who wins: interfaces, encapsulation, defaults and limits are the file's, where there is a file. Services
// are those of whoever spoke last: a file that declares services and has changed since it was last taken in
// replaces them all; otherwise what the CLI made of them stands.
#pragma once

#include "agent/options.h"
#include "agent/state_store.h"

namespace sluice::agent {

struct InitialState {
  StoredState state;
  std::string remark;         // where it came from, for the log
  bool hash_changes = false;  // another hash_seed than before: flows find other slots
};
Result<InitialState> initial_state(const Options& options, const StateStore& store);

}  // namespace sluice::agent
