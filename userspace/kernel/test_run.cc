#include "kernel/test_run.h"

#include <bpf/bpf.h>
#include <linux/bpf.h>

namespace sluice::kernel {

Result<RunResult> test_run(int program_fd, const std::vector<uint8_t>& frame, uint32_t ifindex) {
  constexpr size_t kGrowth = 256;  // bytes; longer than any header that a program of ours pushes
  RunResult result;
  result.frame.resize(frame.size() + kGrowth);
  xdp_md context{};
  context.data_end = static_cast<uint32_t>(frame.size());
  context.ingress_ifindex = ifindex;
  LIBBPF_OPTS(bpf_test_run_opts, options);
  options.data_in = frame.data();
  options.data_size_in = static_cast<uint32_t>(frame.size());
  options.data_out = result.frame.data();
  options.data_size_out = static_cast<uint32_t>(result.frame.size());
  if (ifindex != 0) {
    options.ctx_in = &context;
    options.ctx_size_in = sizeof context;
  }
  if (const int error = bpf_prog_test_run_opts(program_fd, &options))
    return system_error("run the program on a frame", error);
  result.action = options.retval;
  result.frame.resize(options.data_size_out);
  return result;
}

}  // namespace sluice::kernel
