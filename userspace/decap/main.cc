// sluice-decap: puts the decapsulating program on a backend's interface, takes it off, and shows what it
// counted. It does its work and exits; the program stays in the kernel.
#include <arpa/inet.h>
#include <fmt/format.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <iostream>
#include <memory>
#include <nlohmann/json.hpp>

#include "base/version.h"
#include "kernel/decap.h"
#include "kernel/pins.h"

namespace {

using namespace sluice;

struct Options {
  std::string bpffs = "/sys/fs/bpf";
  std::string interface;
  std::vector<std::string> addresses;
  bool generic = false;
  bool json = false;
};

Result<kernel::Interface> find_interface(const std::string& name) {
  const unsigned index = ::if_nametoindex(name.c_str());
  if (index != 0) return kernel::Interface{name, index};
  return Error{ErrorCode::kUnavailable,
               fmt::format("interface '{}' does not exist: 'ip link' lists those that do", name)};
}

// Every address of this host that a load balancer may send to.
Result<std::vector<IpAddress>> own_addresses() {
  ifaddrs* list = nullptr;
  if (::getifaddrs(&list) != 0) return system_error("list this host's addresses", errno);
  const std::unique_ptr<ifaddrs, void (*)(ifaddrs*)> owner(list, ::freeifaddrs);
  std::vector<IpAddress> all;
  for (const ifaddrs* each = list; each != nullptr; each = each->ifa_next) {
    if (each->ifa_addr == nullptr) continue;
    IpAddress address;
    if (each->ifa_addr->sa_family == AF_INET) {
      std::memcpy(address.bytes.data(), &reinterpret_cast<const sockaddr_in*>(each->ifa_addr)->sin_addr, 4);
    } else if (each->ifa_addr->sa_family == AF_INET6) {
      address.family = Family::kV6;
      std::memcpy(address.bytes.data(), &reinterpret_cast<const sockaddr_in6*>(each->ifa_addr)->sin6_addr,
                  16);
    } else {
      continue;
    }
    if (!address.is_loopback() && !address.is_link_local()) all.push_back(address);
  }
  return all;
}

Result<std::vector<IpAddress>> wanted_addresses(const Options& options) {
  if (options.addresses.empty()) return own_addresses();
  std::vector<IpAddress> all;
  for (const auto& text : options.addresses) all.push_back(SLUICE_TRY(IpAddress::parse(text)));
  return all;
}

Result<> attach(const Options& options) {
  const auto interface = SLUICE_TRY(find_interface(options.interface));
  const auto addresses = SLUICE_TRY(wanted_addresses(options));
  auto pins = SLUICE_TRY(kernel::PinDirectory::open(options.bpffs, "sluice-decap"));
  const auto put_on = [&]() -> Result<kernel::Attachment> {
    auto decap = SLUICE_TRY(kernel::Decap::open(pins.path()));
    SLUICE_TRY(decap.set_addresses(addresses));
    return decap.attach(interface, options.generic ? model::XdpMode::kGeneric : model::XdpMode::kAuto);
  };
  auto put = put_on();
  if (!put.ok() && pins.is_new()) SLUICE_TRY(pins.remove());
  const auto attached = SLUICE_TRY(std::move(put));
  fmt::print("{}: decapsulating in {} XDP for {} addresses{}\n", interface.name,
             attached.native ? "native" : "generic", addresses.size(),
             attached.remark.empty() ? "" : " (" + attached.remark + ")");
  return ok();
}

Result<> detach(const Options& options) {
  const auto interface = SLUICE_TRY(find_interface(options.interface));
  auto pins = SLUICE_TRY(kernel::PinDirectory::open(options.bpffs, "sluice-decap"));
  bool was_on = false, still_used = false;
  {
    auto decap = SLUICE_TRY(kernel::Decap::open(pins.path()));
    was_on = SLUICE_TRY(decap.detach(interface));
    still_used = SLUICE_TRY(decap.is_on_any_interface());
  }
  if (!still_used) SLUICE_TRY(pins.remove());
  if (!was_on)
    return Error{ErrorCode::kNotFound, fmt::format("{}: there was no decap program on it", interface.name)};
  fmt::print("{}: detached\n", interface.name);
  return ok();
}

Result<> show(const Options& options) {
  static constexpr struct {
    const char* name;
    const char* text;
  } kReasons[] = {
#define SL_DESCRIBE(enumerator, name, text) {name, text},
      SL_DECAP_REASONS(SL_DESCRIBE)
#undef SL_DESCRIBE
  };
  auto pins = SLUICE_TRY(kernel::PinDirectory::open(options.bpffs, "sluice-decap"));
  if (pins.is_new()) {
    SLUICE_TRY(pins.remove());
    return Error{ErrorCode::kNotFound,
                 "decap is on no interface: 'sluice-decap attach INTERFACE' puts it there"};
  }
  const auto decap = SLUICE_TRY(kernel::Decap::open(pins.path()));
  const auto counters = SLUICE_TRY(decap.counters());
  nlohmann::json json{{"addresses", nlohmann::json::array()}, {"counters", nlohmann::json::object()}};
  for (const auto& address : SLUICE_TRY(decap.addresses())) json["addresses"].push_back(address.to_string());
  for (size_t i = 0; i < counters.size(); ++i)
    json["counters"][kReasons[i].name] = {{"packets", counters[i].packets}, {"bytes", counters[i].bytes}};
  if (options.json) {
    std::cout << json.dump(2) << "\n";
    return ok();
  }
  fmt::print("tunnel ends: ");
  for (const auto& address : json["addresses"]) fmt::print("{} ", address.get<std::string>());
  fmt::print("\n\n{:<14} {:>14}  meaning\n", "outcome", "packets");
  for (size_t i = 0; i < counters.size(); ++i)
    fmt::print("{:<14} {:>14}  {}\n", kReasons[i].name, counters[i].packets, kReasons[i].text);
  return ok();
}

}  // namespace

int main(int argc, char** argv) {
  Options options;
  CLI::App app{"Takes the outer header off packets that a Sluice load balancer sends to this host."};
  app.footer(
      "Examples:\n"
      "  sluice-decap attach eth0                        for all addresses of this host\n"
      "  sluice-decap attach eth0 --address 10.0.0.11    for this one only\n"
      "  sluice-decap show\n"
      "  sluice-decap detach eth0\n\n"
      "Run attach again after the host's addresses changed. The VIPs must be on this\n"
      "host too: 'ip address add 192.0.2.1/32 dev lo'.\n"
      "Exit codes: 0 done, 1 failed, 2 wrong usage.");
  app.require_subcommand(1);
  app.set_version_flag("--version", std::string("sluice-decap ") + kVersion);
  app.add_option("--bpffs", options.bpffs, "bpffs in which the tables are pinned")->capture_default_str();
  auto* attach_command = app.add_subcommand("attach", "put the program on an interface, or renew it");
  attach_command->add_option("interface", options.interface)->required();
  attach_command->add_option("--address", options.addresses, "a tunnel end; may be repeated (default: all)");
  attach_command->add_flag("--generic", options.generic, "generic XDP, also where native is to be had");
  auto* detach_command = app.add_subcommand("detach", "take the program off an interface");
  detach_command->add_option("interface", options.interface)->required();
  auto* show_command = app.add_subcommand("show", "tunnel ends and counters");
  show_command->add_flag("--json", options.json, "as JSON");
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : 2;
  }
  ::setenv("LIBXDP_BPFFS", options.bpffs.c_str(), 1);
  const auto done = *attach_command ? attach(options) : *detach_command ? detach(options) : show(options);
  if (done.ok()) return 0;
  fmt::print(stderr, "sluice-decap: {}\n", done.error().message);
  return 1;
}
