#include "kernel/decap.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "decap.skel.h"
#include "kernel/libbpf_log.h"
#include "kernel/maps.h"

namespace sluice::kernel {
namespace {

sl_decap_address key_of(const IpAddress& address) {
  sl_decap_address key{};
  std::copy(address.bytes.begin(), address.bytes.end(), key.address);
  key.family = static_cast<uint32_t>(address.family);
  return key;
}

IpAddress address_of(const sl_decap_address& key) {
  IpAddress address{static_cast<Family>(key.family), {}};
  std::copy(std::begin(key.address), std::end(key.address), address.bytes.begin());
  return address;
}

}  // namespace

Result<Decap> Decap::open(const std::optional<std::string>& pin_directory) {
  capture_library_log();
  Decap decap(decap_bpf__open());
  if (decap.maps_ == nullptr) return system_error("open the decap object", errno);
  bpf_program__set_autoload(decap.maps_->progs.decap, false);
  if (pin_directory) SLUICE_TRY(pin_maps_in(decap.maps_->obj, *pin_directory));
  if (const int error = decap_bpf__load(decap.maps_)) {
    Error failed = system_error("create decap's tables", error);
    if (failed.code == ErrorCode::kPermission)
      failed.message += " (needs root, or CAP_BPF and CAP_NET_ADMIN)";
    return failed;
  }
  return decap;
}

Decap::Decap(Decap&& other) noexcept
    : maps_(std::exchange(other.maps_, nullptr)), instance_(std::exchange(other.instance_, nullptr)) {}

Decap::~Decap() {
  if (instance_ != nullptr) decap_bpf__destroy(instance_);
  if (maps_ != nullptr) decap_bpf__destroy(maps_);
}

Result<std::vector<IpAddress>> Decap::addresses() const {
  std::vector<IpAddress> all;
  sl_decap_address key{}, next{};
  const void* previous = nullptr;
  while (bpf_map_get_next_key(bpf_map__fd(maps_->maps.decap_addresses), previous, &next) == 0) {
    all.push_back(address_of(next));
    key = next;
    previous = &key;
  }
  return all;
}

Result<> Decap::set_addresses(const std::vector<IpAddress>& wanted) {
  const int fd = bpf_map__fd(maps_->maps.decap_addresses);
  const uint32_t present = 1;
  for (const auto& address : wanted) {
    const sl_decap_address key = key_of(address);
    if (const int error = bpf_map_update_elem(fd, &key, &present, BPF_ANY))
      return system_error("add tunnel end " + address.to_string(), error);
  }
  for (const auto& address : SLUICE_TRY(addresses())) {
    if (std::find(wanted.begin(), wanted.end(), address) != wanted.end()) continue;
    const sl_decap_address key = key_of(address);
    if (const int error = bpf_map_delete_elem(fd, &key))
      return system_error("remove tunnel end " + address.to_string(), error);
  }
  return ok();
}

Result<std::vector<sl_counter>> Decap::counters() const {
  return read_counters(bpf_map__fd(maps_->maps.decap_counters), SL_DECAP_REASON_COUNT);
}

Result<bpf_object*> Decap::open_instance() {
  if (instance_ != nullptr) decap_bpf__destroy(instance_);
  instance_ = decap_bpf__open();
  if (instance_ == nullptr) return system_error("open the decap object", errno);
  SLUICE_TRY(share_maps(instance_->obj, maps_->obj));
  return instance_->obj;
}

Result<XdpSource> Decap::source() {
  return XdpSource{"decap", SLUICE_TRY(map_id(bpf_map__fd(maps_->maps.decap_addresses))),
                   [this] { return open_instance(); }};
}

Result<Attachment> Decap::attach(const Interface& interface, model::XdpMode mode) {
  return attach_xdp(SLUICE_TRY(source()), interface, mode);
}

Result<bool> Decap::detach(const Interface& interface) {
  return detach_xdp(SLUICE_TRY(source()), interface);
}

Result<bool> Decap::is_on_any_interface() {
  return !interfaces_with(SLUICE_TRY(source())).empty();
}

Result<RunResult> Decap::run(const std::vector<uint8_t>& frame) {
  if (instance_ == nullptr) {
    SLUICE_TRY(open_instance());
    if (const int error = decap_bpf__load(instance_)) {
      Error failed = system_error("load the decap program", error);
      failed.message += ": " + take_library_warnings();
      return failed;
    }
  }
  return test_run(bpf_program__fd(instance_->progs.decap), frame, 0);
}

}  // namespace sluice::kernel
