// Waiting for a draining backend to have no flow left.
//
// The agent knows a connection of a plain TCP service from its first packet after the drain began. So all of
// them are given time to speak (`quiet`), and only a reading of the flow table that began after that counts.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>

#include "cli/arguments.h"
#include "cli/session.h"

namespace sluice::cli {

struct Drained {
  bool down = false;              // its deadline, or somebody, ended what remained
  std::optional<uint64_t> flows;  // how many that were; 0 where none remained; unset: not known
  double waited_seconds = 0;
};

// To be called when the drain has just begun. Shows its progress where the session wants that. kNotFound: the
// backend was deleted meanwhile; kInvalid: it was put up again; kUnavailable: the agent has been away for
// longer than a restart takes.
Result<Drained> wait_until_drained(const Session& session, const BackendName& name,
                                   std::chrono::seconds quiet);

}  // namespace sluice::cli
