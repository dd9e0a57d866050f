// bench-peer's server: accepts on some ports, says its name and echoes messages (message.h). One thread.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/result.h"

namespace sluice::bench {

struct ServeOptions {
  std::string name;             // 1 to kMaxNameLength characters
  std::vector<uint16_t> ports;  // of every address, IPv4 and IPv6
};

// Runs until SIGTERM or SIGINT. Fails where it cannot listen.
Result<> serve(const ServeOptions& options);

}  // namespace sluice::bench
