// A load balancer to be timed: private tables and a program, made from a configuration exactly as the agent
// makes them, and attached to nothing. One thread.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <vector>

#include "apply/applier.h"
#include "kernel/map_port.h"
#include "kernel/program.h"
#include "model/config.h"
#include "packet_frame.h"

namespace sluice::bench {

// What the data plane has counted, in packets.
struct Counts {
  std::map<IpAddress, uint64_t> backends;
  std::vector<uint64_t> reasons;      // by enum sl_reason
  std::vector<uint64_t> flow_events;  // by enum sl_flow_event

  uint64_t forwarded() const;
  uint64_t not_forwarded() const;
};
Counts operator-(const Counts& after, const Counts& before);  // of the same backends

class Balancer {
 public:
  static Result<std::unique_ptr<Balancer>> make(const model::Config& config, const Sender& sender);

  // Changes the configuration as the agent would under traffic.
  Result<> apply(const model::Config& config);

  int program_fd() const;
  Result<Counts> counts() const;
  Result<size_t> flow_entries();
  const model::Config& applied() const { return applier_->applied(); }

 private:
  Balancer() = default;

  std::unique_ptr<kernel::MapPort> port_;
  std::optional<apply::Applier> applier_;
  std::optional<kernel::Program> program_;
};

}  // namespace sluice::bench
