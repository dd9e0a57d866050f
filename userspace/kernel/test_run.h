// Runs a loaded XDP program on one frame from memory (BPF_PROG_TEST_RUN, Linux 4.12; with an interface 5.15).
#pragma once

#include <cstdint>
#include <vector>

#include "base/result.h"

namespace sluice::kernel {

struct RunResult {
  uint32_t action = 0;  // enum xdp_action
  std::vector<uint8_t> frame;
};

// As if the frame had come in by `ifindex` (0: the namespace's loopback). Frames are 14 to about 3,500 bytes.
Result<RunResult> test_run(int program_fd, const std::vector<uint8_t>& frame, uint32_t ifindex);

}  // namespace sluice::kernel
