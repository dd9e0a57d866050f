// One instance of the load balancer's XDP program, sharing a MapPort's maps: opened, then either attached to
// interfaces (attachment.h) or loaded and run on frames from memory.
#pragma once

#include <memory>
#include <vector>

#include "bpf/abi.h"
#include "kernel/map_port.h"
#include "kernel/test_run.h"

struct bpf_object;

namespace sluice::kernel {

class Program {
 public:
  // Opened, not yet loaded: libxdp loads it itself, in the form that the interface needs.
  static Result<Program> open(const MapPort& maps, const sl_config& config);
  Program(Program&& other) noexcept;
  Program& operator=(Program&& other) noexcept;
  ~Program();

  // Loads it as a program of its own.
  Result<> load();
  // Runs it once on a frame as if it came in by `ifindex` (0: loopback). Loaded before.
  Result<RunResult> run(const std::vector<uint8_t>& frame, uint32_t ifindex) const;

  bpf_object* object() const;

 private:
  explicit Program(sluice_bpf* skeleton) : skeleton_(skeleton) {}
  sluice_bpf* skeleton_ = nullptr;
};

}  // namespace sluice::kernel
