// What the bench says: the table and the verdict for people, everything as JSON.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "packet_bench.h"

namespace sluice::bench {

struct Parameters {
  uint32_t runs = 9;
  Volume volume;
  std::vector<uint32_t> flows{1, 1U << 12, 1U << 18, 1U << 22};
  std::vector<const Scenario*> scenarios;  // the floor first
};

// All cases have been timed, or skipped. At most 80 columns.
std::string table_of(const std::vector<Case>& cases);
// Whether the steady state costs what the bare ring does, a line for each number of flows, and a line on the
// flow table; empty where not both were timed.
std::string verdict_of(const std::vector<Case>& cases);
// What makes the figures doubtful, a line each: a busy machine, no JIT, run-time statistics.
std::string caveats_of(const std::vector<Case>& cases);
nlohmann::json json_of(const Parameters& parameters, const std::vector<Case>& cases);

}  // namespace sluice::bench
