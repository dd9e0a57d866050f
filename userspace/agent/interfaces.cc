#include "agent/interfaces.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>

#include "dataplane/program_config.h"
#include "kernel/program.h"

namespace sluice::agent {
namespace {

constexpr const char* kProgram = "sluice";
constexpr const char* kSharedMap = "ring";  // every instance uses it

Result<kernel::XdpSource> source_without_program(const kernel::PinDirectory& pins) {
  const auto id = pins.id_of_pinned(kSharedMap);
  if (!id) return Error{ErrorCode::kNotFound, "no tables are pinned in " + pins.path()};
  return kernel::XdpSource{kProgram, *id, nullptr};
}

model::XdpMode mode_of(const model::Config& config, const std::string& name) {
  for (const auto& interface : config.interfaces)
    if (interface.name == name) return interface.xdp;
  return model::XdpMode::kAuto;
}

}  // namespace

Result<std::vector<kernel::Interface>> find_interfaces(kernel::RouteSocket& routes,
                                                       const model::Config& config) {
  std::vector<kernel::Interface> found;
  for (const auto& wanted : config.interfaces) {
    auto link = routes.link(wanted.name);
    if (!link.ok() && link.error().code == ErrorCode::kNotFound)
      return Error{ErrorCode::kUnavailable,
                   fmt::format("interface '{}' does not exist: 'ip link' lists those that do", wanted.name)};
    if (!link.ok()) return std::move(link).error();
    found.push_back({wanted.name, link->ifindex});
  }
  return found;
}

Result<std::vector<kernel::Attachment>> attach_interfaces(const kernel::MapPort& port,
                                                          const kernel::PinDirectory& pins,
                                                          const model::Config& config,
                                                          const std::vector<kernel::Interface>& interfaces) {
  const sl_config program_config = dataplane::make_program_config(config);
  std::optional<kernel::Program> program;
  kernel::XdpSource source = SLUICE_TRY(source_without_program(pins));
  source.open = [&]() -> Result<bpf_object*> {
    program.emplace(SLUICE_TRY(kernel::Program::open(port, program_config)));
    return program->object();
  };
  std::vector<kernel::Attachment> attached;
  for (size_t i = 0; i < interfaces.size(); ++i) {
    auto attachment = kernel::attach_xdp(source, interfaces[i], mode_of(config, interfaces[i].name));
    if (attachment.ok()) {
      attached.push_back(std::move(attachment).value());
      continue;
    }
    Error failed = std::move(attachment).error();
    for (const auto& done : attached) {
      if (done.replaced) continue;
      const auto undone = kernel::detach_xdp(source, done.interface);
      if (!undone.ok()) failed.message += "; and " + undone.error().message;
    }
    return failed;
  }
  return attached;
}

bool is_attached(const kernel::PinDirectory& pins, const kernel::Interface& interface) {
  const auto source = source_without_program(pins);
  return source.ok() && kernel::is_on(*source, interface);
}

Result<std::vector<std::string>> detach_interfaces(const kernel::PinDirectory& pins,
                                                   const std::vector<kernel::Interface>& except) {
  const kernel::XdpSource source = SLUICE_TRY(source_without_program(pins));
  std::vector<std::string> names;
  for (const auto& interface : kernel::interfaces_with(source)) {
    const bool stays = std::any_of(except.begin(), except.end(),
                                   [&](const auto& kept) { return kept.ifindex == interface.ifindex; });
    if (!stays && SLUICE_TRY(kernel::detach_xdp(source, interface))) names.push_back(interface.name);
  }
  return names;
}

}  // namespace sluice::agent
