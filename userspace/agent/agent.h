// The agent: one thread, one event loop. It takes over what is in the kernel, makes the desired state true,
// attaches the interfaces, and from then on follows the API, the kernel's routes and neighbours, and the
// clock.
#pragma once

#include "agent/options.h"
#include "base/result.h"

namespace sluice::agent {

// Runs until SIGTERM or SIGINT. What is in the kernel stays there and keeps forwarding.
Result<> run(const Options& options);

// Takes Sluice's programs off all interfaces of this network namespace and removes its tables.
Result<> detach(const Options& options);

}  // namespace sluice::agent
