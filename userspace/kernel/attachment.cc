#include "kernel/attachment.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <fmt/format.h>
#include <linux/if_link.h>
#include <net/if.h>
#include <unistd.h>
#include <xdp/libxdp.h>

#include <algorithm>
#include <memory>
#include <vector>

#include "base/fd.h"
#include "kernel/libbpf_log.h"

namespace sluice::kernel {
namespace {

struct CloseProgram {
  void operator()(xdp_program* program) const { xdp_program__close(program); }
};
struct CloseMultiprog {
  void operator()(xdp_multiprog* programs) const { xdp_multiprog__close(programs); }
};
using ProgramHandle = std::unique_ptr<xdp_program, CloseProgram>;
using MultiprogHandle = std::unique_ptr<xdp_multiprog, CloseMultiprog>;

MultiprogHandle programs_on(const Interface& interface) {
  xdp_multiprog* programs = xdp_multiprog__get_from_ifindex(static_cast<int>(interface.ifindex));
  return MultiprogHandle(libxdp_get_error(programs) != 0 ? nullptr : programs);
}

bool is_instance(const XdpSource& source, uint32_t program_id) {
  const Fd fd(bpf_prog_get_fd_by_id(program_id));
  if (!fd) return false;
  std::vector<uint32_t> maps(64);
  bpf_prog_info info{};
  info.nr_map_ids = static_cast<uint32_t>(maps.size());
  info.map_ids = reinterpret_cast<uintptr_t>(maps.data());
  uint32_t size = sizeof info;
  if (bpf_obj_get_info_by_fd(fd.get(), &info, &size) != 0 || info.name != source.name) return false;
  maps.resize(std::min<size_t>(maps.size(), info.nr_map_ids));
  return std::find(maps.begin(), maps.end(), source.map_id) != maps.end();
}

std::vector<uint32_t> instances_in(const XdpSource& source, const xdp_multiprog* programs) {
  std::vector<uint32_t> ids;
  for (xdp_program* program = xdp_multiprog__next_prog(nullptr, programs); program != nullptr;
       program = xdp_multiprog__next_prog(program, programs))
    if (is_instance(source, xdp_program__id(program))) ids.push_back(xdp_program__id(program));
  return ids;
}

Error attach_error(const Interface& interface, std::string_view mode, int error) {
  const std::string said = take_library_warnings();
  Error failed = system_error(fmt::format("attach {}: {} XDP refused", interface.name, mode), error);
  if (failed.code == ErrorCode::kPermission)
    failed.message += "; needs root, or CAP_BPF, CAP_NET_ADMIN and CAP_PERFMON";
  if (!said.empty()) failed.message += fmt::format(" ({})", said);
  return failed;
}

Error held_by_another(const Interface& interface, const xdp_multiprog* programs) {
  const xdp_program* main = xdp_multiprog__main_prog(programs);
  // "xdp off" is about native mode wherever the driver has it.
  const char* mode = xdp_multiprog__attach_mode(programs) == XDP_MODE_SKB ? "xdpgeneric" : "xdp";
  return Error{
      ErrorCode::kExists,
      fmt::format("attach {0}: the interface is held by XDP program '{1}' (id {2}), which was attached "
                  "without libxdp's dispatcher and cannot share it; take it off with 'ip link set dev {0} "
                  "{3} off', or load it through libxdp (xdp-loader) so that both can run",
                  interface.name, xdp_program__name(main), xdp_program__id(main), mode)};
}

uint32_t mode_flag(bool native) {
  return native ? XDP_FLAGS_DRV_MODE : XDP_FLAGS_SKB_MODE;
}

// An earlier instance that is alone on the interface: the kernel swaps it for the new one in one step.
Result<Attachment> replace_alone(const XdpSource& source, const Interface& interface,
                                 const xdp_multiprog* programs) {
  const bool native = xdp_multiprog__attach_mode(programs) == XDP_MODE_NATIVE;
  bpf_object* object = SLUICE_TRY(source.open());
  if (const int error = bpf_object__load(object))
    return attach_error(interface, "loading the program for", error);
  const Fd old(bpf_prog_get_fd_by_id(xdp_program__id(xdp_multiprog__main_prog(programs))));
  LIBBPF_OPTS(bpf_xdp_attach_opts, options);
  options.old_prog_fd = old.get();
  const int fd = bpf_program__fd(bpf_object__find_program_by_name(object, source.name.c_str()));
  if (const int error = bpf_xdp_attach(static_cast<int>(interface.ifindex), fd,
                                       mode_flag(native) | XDP_FLAGS_REPLACE, &options))
    return attach_error(interface, native ? "native" : "generic", error);
  return Attachment{interface, native, false, true, 0, {}};
}

Result<> detach_from_dispatcher(const Interface& interface, const std::vector<uint32_t>& ids, bool native) {
  for (const uint32_t id : ids) {
    const ProgramHandle program(xdp_program__from_id(id));
    if (libxdp_get_error(program.get()) != 0) continue;
    if (const int error = xdp_program__detach(program.get(), static_cast<int>(interface.ifindex),
                                              native ? XDP_MODE_NATIVE : XDP_MODE_SKB, 0))
      return attach_error(interface, "detaching the earlier instance:", error);
  }
  return ok();
}

Result<Attachment> attach_in_mode(const XdpSource& source, const Interface& interface, bool native) {
  bpf_object* object = SLUICE_TRY(source.open());
  const ProgramHandle program(xdp_program__from_bpf_obj(object, "xdp"));
  if (const auto error = libxdp_get_error(program.get()))
    return attach_error(interface, "opening the program for", static_cast<int>(error));
  take_library_warnings();
  if (const int error = xdp_program__attach(program.get(), static_cast<int>(interface.ifindex),
                                            native ? XDP_MODE_NATIVE : XDP_MODE_SKB, 0))
    return attach_error(interface, native ? "native" : "generic", error);
  const MultiprogHandle programs = programs_on(interface);
  return Attachment{interface, native, programs && !xdp_multiprog__is_legacy(programs.get()), false, 0, {}};
}

Result<Attachment> attach_new(const XdpSource& source, const Interface& interface, model::XdpMode mode) {
  std::string refusal;
  if (mode != model::XdpMode::kGeneric) {
    Result<Attachment> native = attach_in_mode(source, interface, true);
    if (native.ok() || mode == model::XdpMode::kNative || native.error().code == ErrorCode::kPermission)
      return native;
    refusal = native.error().message;
  }
  Attachment attachment = SLUICE_TRY(attach_in_mode(source, interface, false));
  if (!refusal.empty()) attachment.remark = "generic XDP, which is slower: " + refusal;
  return attachment;
}

}  // namespace

Result<Attachment> attach_xdp(const XdpSource& source, const Interface& interface, model::XdpMode mode) {
  capture_library_log();
  const MultiprogHandle before = programs_on(interface);
  std::vector<uint32_t> earlier;
  if (before) {
    const xdp_program* main = xdp_multiprog__main_prog(before.get());
    const bool legacy = xdp_multiprog__is_legacy(before.get());
    if (legacy && !is_instance(source, xdp_program__id(main)))
      return held_by_another(interface, before.get());
    const bool native = xdp_multiprog__attach_mode(before.get()) == XDP_MODE_NATIVE;
    const bool mode_fits = mode == model::XdpMode::kAuto || native == (mode == model::XdpMode::kNative);
    if (legacy && mode_fits) {
      Attachment attachment = SLUICE_TRY(replace_alone(source, interface, before.get()));
      attachment.program_id = program_on(interface);
      attachment.remark = "alone on the interface, as before";
      if (!native) attachment.remark += ", in generic mode";
      return attachment;
    }
    if (legacy) SLUICE_TRY(detach_xdp(source, interface));
    if (!legacy) earlier = instances_in(source, before.get());
  }
  Attachment attachment = SLUICE_TRY(attach_new(source, interface, mode));
  SLUICE_TRY(detach_from_dispatcher(interface, earlier, attachment.native));
  attachment.replaced = !earlier.empty();
  attachment.program_id = program_on(interface);
  if (!attachment.shared && attachment.remark.empty())
    attachment.remark = "alone on the interface: this kernel refuses libxdp's dispatcher";
  return attachment;
}

Result<bool> detach_xdp(const XdpSource& source, const Interface& interface) {
  capture_library_log();
  const MultiprogHandle programs = programs_on(interface);
  if (!programs) return false;
  const bool native = xdp_multiprog__attach_mode(programs.get()) == XDP_MODE_NATIVE;
  if (!xdp_multiprog__is_legacy(programs.get())) {
    const auto ids = instances_in(source, programs.get());
    SLUICE_TRY(detach_from_dispatcher(interface, ids, native));
    return !ids.empty();
  }
  const uint32_t id = xdp_program__id(xdp_multiprog__main_prog(programs.get()));
  if (!is_instance(source, id)) return false;
  const Fd old(bpf_prog_get_fd_by_id(id));
  LIBBPF_OPTS(bpf_xdp_attach_opts, options);
  options.old_prog_fd = old.get();
  if (const int error = bpf_xdp_detach(static_cast<int>(interface.ifindex), mode_flag(native), &options))
    return attach_error(interface, "detaching:", error);
  return true;
}

bool is_on(const XdpSource& source, const Interface& interface) {
  capture_library_log();
  const MultiprogHandle programs = programs_on(interface);
  if (!programs) return false;
  return xdp_multiprog__is_legacy(programs.get())
             ? is_instance(source, xdp_program__id(xdp_multiprog__main_prog(programs.get())))
             : !instances_in(source, programs.get()).empty();
}

uint32_t program_on(const Interface& interface) {
  capture_library_log();
  uint32_t id = 0;
  return bpf_xdp_query_id(static_cast<int>(interface.ifindex), 0, &id) == 0 ? id : 0;
}

std::vector<Interface> interfaces_with(const XdpSource& source) {
  std::vector<Interface> found;
  const std::unique_ptr<struct if_nameindex, void (*)(struct if_nameindex*)> all(::if_nameindex(),
                                                                                 ::if_freenameindex);
  for (const auto* each = all.get(); each != nullptr && each->if_index != 0; ++each) {
    const Interface interface { each->if_name, each->if_index };
    if (is_on(source, interface)) found.push_back(interface);
  }
  return found;
}

}  // namespace sluice::kernel
