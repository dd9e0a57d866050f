// The agent's command line.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "api/messages.h"

namespace sluice::agent {

constexpr const char* kDefaultConfig = "/etc/sluice/sluice.yaml";

struct Options {
  std::optional<std::string> config_path;  // unset: kDefaultConfig, if there is one
  std::string state_directory = "/var/lib/sluice";
  std::string socket = api::kDefaultSocket;
  std::string bpffs = "/sys/fs/bpf";    // a mounted bpffs
  std::vector<std::string> interfaces;  // instead of the configuration's
  std::string log_level = "info";
  bool detach = false;  // remove Sluice from the kernel and exit
};

// An exit code where there is nothing to run (help, version, wrong usage).
struct ParsedOptions {
  Options options;
  std::optional<int> exit_code;
};
ParsedOptions parse_options(int argc, char** argv);

}  // namespace sluice::agent
