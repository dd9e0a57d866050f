#include "kernel/map_port.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <fmt/format.h>
#include <linux/membarrier.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <thread>

#include "kernel/libbpf_log.h"
#include "kernel/maps.h"
#include "sluice.skel.h"

namespace sluice::kernel {
namespace {

using dataplane::ServiceEntry;
using dataplane::ServiceKey;

size_t page_up(size_t size) {
  const auto page = static_cast<size_t>(sysconf(_SC_PAGESIZE));
  return (size + page - 1) / page * page;
}

void set_sizes(sluice_bpf* skeleton, const model::Limits& limits) {
  const uint32_t lines = limits.ring_slots / SL_SLOTS_PER_LINE;
  bpf_map__set_max_entries(skeleton->maps.services_v4, limits.services);
  bpf_map__set_max_entries(skeleton->maps.services_v6, limits.services);
  bpf_map__set_max_entries(skeleton->maps.ring, lines);
  bpf_map__set_max_entries(skeleton->maps.origin, lines);
  bpf_map__set_max_entries(skeleton->maps.backends, limits.backends + 1);
  bpf_map__set_max_entries(skeleton->maps.backend_counters, limits.backends + 1);
  for (bpf_map* flows :
       {skeleton->maps.flows_tcp, skeleton->maps.flows_udp, skeleton->maps.kept_tcp, skeleton->maps.kept_udp})
    bpf_map__set_max_entries(flows, limits.flows);
}

Error load_error(int error, const std::optional<std::string>& pin_directory) {
  const std::string said = take_library_warnings();
  if (pin_directory && said.find("parameter mismatch") != std::string::npos)
    return Error{ErrorCode::kInvalid,
                 fmt::format("the tables pinned in {} were made with other limits than the configuration's: "
                             "restore the old limits, or remove the tables with 'sluiced --detach'",
                             *pin_directory)};
  Error failed = system_error("create the kernel's tables", error);
  if (failed.code == ErrorCode::kPermission)
    failed.message += " (needs root, or CAP_BPF, CAP_NET_ADMIN and CAP_PERFMON)";
  else if (!said.empty())
    failed.message += " (" + said + ")";
  return failed;
}

// Stores each word whole: packets read them at the same moment.
void store_words(uint32_t* to, std::span<const uint32_t> from) {
  for (size_t i = 0; i < from.size(); ++i) std::atomic_ref(to[i]).store(from[i], std::memory_order_relaxed);
}

uint64_t first_header_word(const sl_backend& entry) {
  uint64_t word;
  std::memcpy(&word, entry.header, sizeof word);
  return word;
}

// Whether the two differ in nothing but the state and the first eight header bytes.
bool differ_in_single_stores(const sl_backend& before, sl_backend after) {
  after.state = before.state;
  std::memcpy(after.header, before.header, sizeof(uint64_t));
  return std::memcmp(&before, &after, sizeof before) == 0;
}

}  // namespace

Result<std::unique_ptr<MapPort>> MapPort::open(const model::Limits& limits,
                                               const std::optional<std::string>& pin_directory) {
  capture_library_log();
  std::unique_ptr<MapPort> port(new MapPort);
  port->skeleton_ = sluice_bpf__open();
  if (port->skeleton_ == nullptr) return system_error("open the data plane's object", errno);
  bpf_program__set_autoload(port->skeleton_->progs.sluice, false);
  set_sizes(port->skeleton_, limits);
  if (pin_directory) SLUICE_TRY(pin_maps_in(port->skeleton_->obj, *pin_directory));
  if (const int error = sluice_bpf__load(port->skeleton_)) return load_error(error, pin_directory);

  port->ring_ = SLUICE_TRY(port->map_array(port->skeleton_->maps.ring));
  port->origin_ = SLUICE_TRY(port->map_array(port->skeleton_->maps.origin));
  port->backend_memory_ = SLUICE_TRY(port->map_array(port->skeleton_->maps.backends));
  port->backend_entries_ = bpf_map__max_entries(port->skeleton_->maps.backends);
  SLUICE_TRY(port->wait_for_packets());  // whatever a previous owner of the tables did last is over
  return port;
}

MapPort::~MapPort() {
  for (const Mapping& mapping : {ring_, origin_, backend_memory_})
    if (mapping.address != nullptr) munmap(mapping.address, page_up(mapping.size));
  if (skeleton_ != nullptr) sluice_bpf__destroy(skeleton_);
}

Result<MapPort::Mapping> MapPort::map_array(const void* bpf_map) const {
  const auto* map = static_cast<const struct bpf_map*>(bpf_map);
  const size_t size = static_cast<size_t>(bpf_map__value_size(map)) * bpf_map__max_entries(map);
  void* address = mmap(nullptr, page_up(size), PROT_READ | PROT_WRITE, MAP_SHARED, bpf_map__fd(map), 0);
  if (address == MAP_FAILED) return system_error(fmt::format("map table '{}'", bpf_map__name(map)), errno);
  return Mapping{address, size};
}

int MapPort::services_fd(Family family) const {
  return bpf_map__fd(family == Family::kV4 ? skeleton_->maps.services_v4 : skeleton_->maps.services_v6);
}

namespace {

template <typename Key>
Result<> read_services(int fd, std::vector<ServiceEntry>& all) {
  Key key{}, next{};
  const void* previous = nullptr;
  while (bpf_map_get_next_key(fd, previous, &next) == 0) {
    ServiceEntry entry{ServiceKey::from(next), {}};
    if (const int error = bpf_map_lookup_elem(fd, &next, &entry.value))
      return system_error("read the service table", error);
    all.push_back(entry);
    key = next;
    previous = &key;
  }
  return ok();
}

}  // namespace

Result<std::vector<ServiceEntry>> MapPort::services() const {
  std::vector<ServiceEntry> all;
  SLUICE_TRY(read_services<sl_service_key4>(services_fd(Family::kV4), all));
  SLUICE_TRY(read_services<sl_service_key6>(services_fd(Family::kV6), all));
  return all;
}

void MapPort::write_block(uint32_t base, std::span<const uint32_t> slots, std::span<const uint32_t> origins) {
  update_origin(base, origins);
  update_ring(base, slots);
}

void MapPort::update_ring(uint32_t base, std::span<const uint32_t> slots) {
  store_words(ring_.slots() + base, slots);
}

void MapPort::update_origin(uint32_t base, std::span<const uint32_t> origins) {
  store_words(origin_.slots() + base, origins);
}

// A hash map's element that an update or delete frees may be handed out again by the next update while a
// packet still reads it (preallocated maps recycle at once). So between a write that frees and the next write
// packets must have moved on.
Result<> MapPort::before_recycling() {
  return element_freed_ ? wait_for_packets() : ok();
}

Result<> MapPort::put_service(const ServiceKey& key, const sl_service& value) {
  SLUICE_TRY(before_recycling());
  const int fd = services_fd(key.vip.address.family);
  const auto put = [&](const auto& raw) -> Result<> {
    sl_service before{};
    const bool replaces = bpf_map_lookup_elem(fd, &raw, &before) == 0;
    if (const int error = bpf_map_update_elem(fd, &raw, &value, BPF_ANY)) {
      if (error == -E2BIG)
        return Error{ErrorCode::kNoSpace,
                     fmt::format("{}: the service table is full: raise limits.services", key.to_string())};
      return system_error(fmt::format("publish service {}", key.to_string()), error);
    }
    element_freed_ = element_freed_ || replaces;
    return ok();
  };
  return key.vip.address.family == Family::kV4 ? put(key.to_key4()) : put(key.to_key6());
}

Result<> MapPort::delete_service(const ServiceKey& key) {
  SLUICE_TRY(before_recycling());
  const int fd = services_fd(key.vip.address.family);
  const auto remove = [&](const auto& raw) -> Result<> {
    if (const int error = bpf_map_delete_elem(fd, &raw))
      return system_error(fmt::format("take back service {}", key.to_string()), error);
    element_freed_ = true;
    return ok();
  };
  return key.vip.address.family == Family::kV4 ? remove(key.to_key4()) : remove(key.to_key6());
}

Result<> MapPort::put_backends(std::span<const dataplane::BackendEntry> entries) {
  bool must_wait = false;
  for (const auto& [id, entry] : entries) {
    const sl_backend& place = backend_array()[id];
    if (place.state == SL_BACKEND_UP && !differ_in_single_stores(place, entry))
      set_backend_state(id, SL_BACKEND_UPDATING);
    must_wait = must_wait || lately_up_.contains(id);
  }
  if (must_wait) SLUICE_TRY(wait_for_packets());
  for (const auto& [id, entry] : entries) {
    sl_backend& place = backend_array()[id];
    if (place.state == SL_BACKEND_UP) {
      auto* word = reinterpret_cast<uint64_t*>(place.header);
      std::atomic_ref(*word).store(first_header_word(entry), std::memory_order_relaxed);
    } else {
      constexpr size_t kRest = offsetof(sl_backend, ifindex);  // all but the state
      std::memcpy(reinterpret_cast<uint8_t*>(&place) + kRest,
                  reinterpret_cast<const uint8_t*>(&entry) + kRest, sizeof place - kRest);
    }
    set_backend_state(id, static_cast<sl_backend_state>(entry.state));
  }
  return ok();
}

void MapPort::set_backend_state(uint32_t id, sl_backend_state state) {
  sl_backend& place = backend_array()[id];
  if (place.state == SL_BACKEND_UP && state != SL_BACKEND_UP) lately_up_.insert(id);
  std::atomic_ref(place.state).store(state, std::memory_order_release);
}

// membarrier's global command returns after an RCU grace period (kernel/sched/membarrier.c), and XDP programs
// run inside RCU read-side sections. Kernels with nohz_full CPUs refuse it; there a second is the honest
// substitute.
Result<> MapPort::wait_for_packets() {
  if (syscall(SYS_membarrier, MEMBARRIER_CMD_GLOBAL, 0, 0) != 0) {
    if (errno != EINVAL && errno != ENOSYS) return system_error("membarrier", errno);
    std::this_thread::sleep_for(std::chrono::seconds(1));
  }
  element_freed_ = false;
  lately_up_.clear();
  return ok();
}

Result<size_t> MapPort::erase_some_flows(dataplane::FlowCursor& cursor, uint32_t most, const PickFlow& pick) {
  constexpr uint32_t kLeast =
      256;  // a batch ends at a bucket's end: less room than a bucket needs is an error
  // Packets move flows from the first of each pair to the second, and insert before they delete: in this
  // order no flow is missed that moves while the table is read.
  const std::array maps{skeleton_->maps.flows_tcp, skeleton_->maps.kept_tcp, skeleton_->maps.flows_udp,
                        skeleton_->maps.kept_udp};
  const int fd = bpf_map__fd(maps.at(cursor.map));
  uint32_t count = std::max(most, kLeast);
  std::vector<sl_flow_key> keys(count);
  std::vector<sl_flow> values(count);
  LIBBPF_OPTS(bpf_map_batch_opts, options);
  // The position is a bucket's index, 4 bytes for hash maps.
  const int error = bpf_map_lookup_batch(fd, cursor.is_in_map ? &cursor.position : nullptr, &cursor.position,
                                         keys.data(), values.data(), &count, &options);
  if (error != 0 && error != -ENOENT) return system_error("read the flow table", error);
  size_t erased = 0;
  for (uint32_t i = 0; i < count; ++i)
    if (pick(keys[i], values[i]) && bpf_map_delete_elem(fd, &keys[i]) == 0) ++erased;
  cursor.is_in_map = error == 0;
  if (!cursor.is_in_map) cursor.is_at_end = ++cursor.map == maps.size();
  return erased;
}

Result<std::vector<sl_counter>> MapPort::backend_counters(std::span<const uint32_t> ids) const {
  std::vector<sl_counter> all;
  all.reserve(ids.size());
  for (const uint32_t id : ids)
    all.push_back(SLUICE_TRY(read_counter(bpf_map__fd(skeleton_->maps.backend_counters), id)));
  return all;
}

Result<std::vector<sl_counter>> MapPort::reason_counters() const {
  return read_counters(bpf_map__fd(skeleton_->maps.reason_counters), SL_REASON_COUNT);
}

Result<std::vector<sl_counter>> MapPort::flow_counters() const {
  return read_counters(bpf_map__fd(skeleton_->maps.flow_counters), SL_FLOW_EVENT_COUNT);
}

Result<> MapPort::clear_backend_counter(uint32_t id) {
  return clear_counter(bpf_map__fd(skeleton_->maps.backend_counters), id);
}

Result<> MapPort::allow_egress(uint32_t ifindex) {
  if (const int error =
          bpf_map_update_elem(bpf_map__fd(skeleton_->maps.egress), &ifindex, &ifindex, BPF_ANY)) {
    if (error == -E2BIG)
      return Error{ErrorCode::kNoSpace, "backends are reached by more than 256 interfaces"};
    return system_error("open an interface for redirects", error);
  }
  return ok();
}

}  // namespace sluice::kernel
