// The wrapper program (wrapper.bpf.c) and a run of a program behind it. One thread.
#pragma once

#include <cstdint>
#include <memory>
#include <utility>

#include "base/result.h"
#include "packet_frame.h"

struct wrapper_bpf;  // the generated skeleton

namespace sluice::bench {

struct RunPlan {
  uint32_t flows = 1;       // a power of two
  uint32_t first_flow = 0;  // place in the order of flows to begin at
  uint64_t warm_up = 0;     // packets before the clock is read
  uint64_t packets = 0;     // packets that are timed; one more ends the timing
};

struct RunDone {
  double ns_per_packet = 0;  // of the timed ones; 0 where there are none
  uint64_t packets = 0;      // that the program has seen: warm-up, timed, and the one that ends the timing
  uint32_t action = 0;       // enum xdp_action, of the last packet
  uint32_t last_flow = 0;    // whose the last packet was
  Frame frame;               // the last packet as it came out
};

class Wrapper {
 public:
  static Result<Wrapper> load(const Frame& frame_of_flow_0);
  Wrapper(Wrapper&& other) noexcept;
  Wrapper& operator=(Wrapper&& other) = delete;
  ~Wrapper();

  // Runs the program, as if all packets had come in by the loopback interface. kInternal: the wrapper failed
  // to restore a frame or to call the program, in any of the runs.
  Result<RunDone> run(int program_fd, const RunPlan& plan);

  int bare_push_fd() const;  // the program of the floor

 private:
  Wrapper(wrapper_bpf* skeleton, Frame frame) : skeleton_(skeleton), frame_(std::move(frame)) {}
  Result<> call(uint64_t repeat, RunDone& done);

  wrapper_bpf* skeleton_;
  Frame frame_;
};

}  // namespace sluice::bench
