#include "packet_run.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <fmt/format.h>

#include <cerrno>
#include <cstring>
#include <limits>
#include <utility>

#include "kernel/libbpf_log.h"
#include "packet_wrapper.h"
#include "wrapper.skel.h"

namespace sluice::bench {

Result<Wrapper> Wrapper::load(const Frame& frame_of_flow_0) {
  kernel::capture_library_log();
  Wrapper wrapper(wrapper_bpf__open(), frame_of_flow_0);
  if (wrapper.skeleton_ == nullptr) return system_error("open the wrapper program", errno);
  if (const int error = wrapper_bpf__load(wrapper.skeleton_)) {
    Error failed = system_error("load the wrapper program", error);
    failed.message += ": " + kernel::take_library_warnings();
    return failed;
  }
  auto* parameters = wrapper.skeleton_->bss;
  std::memcpy(parameters->headers, frame_of_flow_0.data(), sizeof parameters->headers);
  parameters->frame_size = static_cast<uint32_t>(frame_of_flow_0.size());
  parameters->first_source = kClientsV4;
  return wrapper;
}

Wrapper::Wrapper(Wrapper&& other) noexcept
    : skeleton_(std::exchange(other.skeleton_, nullptr)), frame_(std::move(other.frame_)) {}

Wrapper::~Wrapper() {
  if (skeleton_ != nullptr) wrapper_bpf__destroy(skeleton_);
}

int Wrapper::bare_push_fd() const {
  return bpf_program__fd(skeleton_->progs.bare_push);
}

Result<> Wrapper::call(uint64_t repeat, RunDone& done) {
  constexpr size_t kGrowth = 256;  // bytes; longer than what any program pushes
  if (repeat > std::numeric_limits<int>::max())
    return Error{ErrorCode::kInvalid, fmt::format("{} packets are too many for one run", repeat)};
  done.frame.resize(frame_.size() + kGrowth);
  LIBBPF_OPTS(bpf_test_run_opts, options);
  options.repeat = static_cast<int>(repeat);
  options.data_in = frame_.data();
  options.data_size_in = static_cast<uint32_t>(frame_.size());
  options.data_out = done.frame.data();
  options.data_size_out = static_cast<uint32_t>(done.frame.size());
  if (const int error = bpf_prog_test_run_opts(bpf_program__fd(skeleton_->progs.wrapper), &options))
    return system_error("run the wrapper program", error);
  done.frame.resize(options.data_size_out);
  done.action = options.retval;
  return ok();
}

Result<RunDone> Wrapper::run(int program_fd, const RunPlan& plan) {
  constexpr uint32_t kSlot = 0;
  if (const int error =
          bpf_map_update_elem(bpf_map__fd(skeleton_->maps.target), &kSlot, &program_fd, BPF_ANY))
    return system_error("put the program behind the wrapper", error);

  auto* state = skeleton_->bss;
  state->flow_mask = plan.flows - 1;
  state->first_flow = plan.first_flow;
  state->begin_run = plan.warm_up;
  state->end_run = plan.warm_up + plan.packets;
  state->runs = state->begin_ns = state->end_ns = state->failures = 0;

  RunDone done;
  const uint64_t repeat = state->end_run + 1;
  SLUICE_TRY(call(repeat, done));
  if (state->runs != repeat || state->failures != 0)
    return Error{
        ErrorCode::kInternal,
        fmt::format("the wrapper ran {} times instead of {}, and failed to restore the frame or to call "
                    "the program {} times",
                    state->runs, repeat, state->failures)};
  done.packets = repeat;
  done.last_flow = BENCH_FLOW(plan.first_flow + static_cast<uint32_t>(repeat - 1), plan.flows - 1);
  if (plan.packets != 0)
    done.ns_per_packet =
        static_cast<double>(state->end_ns - state->begin_ns) / static_cast<double>(plan.packets);
  return done;
}

}  // namespace sluice::bench
