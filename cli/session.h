// One call of a command: the agent it talks to, how it answers, and the exit code that it ends with.
//
// Results go to `out`, as text or as one JSON document; errors go to `err` in the same manner.
#pragma once

#include <nlohmann/json.hpp>
#include <ostream>
#include <string>
#include <string_view>

#include "api/client.h"
#include "cli/clock.h"

namespace sluice::cli {

// Scripts decide by these: they are as fixed as the commands' names.
enum ExitCode : int {
  kDone = 0,
  kFailed = 1,      // the agent refused, or failed
  kWrongUsage = 2,  // found before the agent was called
  kNoAgent = 3,
  kNotFound = 4,  // no such service or backend
  kExists = 5,
  kPermission = 6,
};

ExitCode exit_code(ErrorCode code);

struct Session {
  api::Client agent;
  std::string command;  // "sluice backend add": what a hint refers to
  std::ostream& out;
  std::ostream& err;
  bool json = false;
  bool colours = false;
  bool progress = false;  // whether `err` may have a line that is written over
  Clock clock = {};

  // Each says what happened and returns the exit code to end with.
  int wrong_usage(const Error& error) const;
  int failed(const Error& error) const;
  // `what` is the change in words, without a full stop: "web: deleted service".
  int changed(const Result<api::Changed>& result, std::string_view what) const;
  int document(const nlohmann::json& value) const;

 private:
  void say(const Error& error, std::string_view hint) const;
};

}  // namespace sluice::cli
