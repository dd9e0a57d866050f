// bench-peer's client: keeps connections to a VIP open, lets each say something now and then, and counts
// those that break. These and those whose life is over are replaced, so that their number stays. One thread,
// one coroutine a connection.
#pragma once

#include <chrono>
#include <cstddef>

#include "base/address.h"
#include "base/result.h"

namespace sluice::bench {

struct ConnectOptions {
  Endpoint vip;
  size_t connections = 1;
  double opened_per_second = 1000;
  // Between a connection's messages, on average: each pause is 0.5 to 1.5 of it.
  std::chrono::duration<double> interval{3};
  std::chrono::duration<double> lifetime{60};  // of a connection, on average
  std::chrono::duration<double> patience{10};  // for an echo, and for a connection to open
};

// Runs until stdin ends, or SIGTERM or SIGINT. For each line "report" on stdin it writes a line to stdout:
// what happened since the last one (tally.h).
Result<> connect(const ConnectOptions& options);

}  // namespace sluice::bench
