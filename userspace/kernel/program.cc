#include "kernel/program.h"

#include <bpf/libbpf.h>

#include <cerrno>
#include <utility>

#include "kernel/libbpf_log.h"
#include "kernel/maps.h"
#include "sluice.skel.h"

namespace sluice::kernel {

Result<Program> Program::open(const MapPort& maps, const sl_config& config) {
  capture_library_log();
  Program program(sluice_bpf__open());
  if (program.skeleton_ == nullptr) return system_error("open the data plane's object", errno);
  program.skeleton_->rodata->sl_config = config;
  SLUICE_TRY(share_maps(program.skeleton_->obj, maps.skeleton().obj));
  return program;
}

Program::Program(Program&& other) noexcept : skeleton_(std::exchange(other.skeleton_, nullptr)) {}

Program& Program::operator=(Program&& other) noexcept {
  std::swap(skeleton_, other.skeleton_);
  return *this;
}

Program::~Program() {
  if (skeleton_ != nullptr) sluice_bpf__destroy(skeleton_);
}

bpf_object* Program::object() const {
  return skeleton_->obj;
}

Result<> Program::load() {
  if (const int error = sluice_bpf__load(skeleton_)) {
    Error failed = system_error("load the XDP program", error);
    failed.message += ": " + take_library_warnings();
    return failed;
  }
  return ok();
}

Result<RunResult> Program::run(const std::vector<uint8_t>& frame, uint32_t ifindex) const {
  return test_run(bpf_program__fd(skeleton_->progs.sluice), frame, ifindex);
}

}  // namespace sluice::kernel
