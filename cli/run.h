// The whole command `sluice`, as a function: main() and the tests call it with a world of their choice.
//
// One call talks to the agent at most once, unless it waits for something; on the calling thread. Nothing
// throws.
#pragma once

#include <chrono>
#include <ostream>
#include <string>
#include <vector>

#include "api/messages.h"
#include "cli/clock.h"

namespace sluice::cli {

// What the process gives the command besides its arguments.
struct Environment {
  std::string socket = api::kDefaultSocket;                    // unless --socket is given
  bool colours = false;                                        // whether text on `out` may hold ANSI colours
  bool progress = false;                                       // whether `err` is a terminal
  std::chrono::milliseconds limit = std::chrono::seconds(30);  // for the agent's answer
  Clock clock = {};
};

// `args` are without the program's name. Returns the exit code (cli/session.h).
int run(const std::vector<std::string>& args, std::ostream& out, std::ostream& err,
        const Environment& environment);

}  // namespace sluice::cli
