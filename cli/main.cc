// The process around the command: its environment variables, its terminal, its exit code.
#include <unistd.h>

#include <cstdlib>
#include <iostream>
#include <optional>

#include "cli/run.h"
#include "cli/session.h"

namespace {

std::optional<std::string> variable(const char* name) {
  const char* value = std::getenv(name);
  return value && *value ? std::optional<std::string>(value) : std::nullopt;
}

}  // namespace

int main(int argc, char** argv) {
  using namespace sluice::cli;
  Environment environment;
  environment.socket = variable("SLUICE_SOCKET").value_or(environment.socket);
  environment.colours = ::isatty(STDOUT_FILENO) == 1 && !variable("NO_COLOR");
  environment.progress = ::isatty(STDERR_FILENO) == 1;
  const int code = run(std::vector<std::string>(argv + 1, argv + argc), std::cout, std::cerr, environment);
  if (std::cout.flush()) return code;
  std::cerr << "sluice: standard output could not be written\n";
  return code == kDone ? kFailed : code;
}
