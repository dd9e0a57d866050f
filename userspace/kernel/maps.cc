#include "kernel/maps.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <fmt/format.h>

#include <algorithm>

#include "base/fd.h"

namespace sluice::kernel {
namespace {

std::vector<sl_counter> one_per_cpu() {
  return std::vector<sl_counter>(static_cast<size_t>(std::max(1, libbpf_num_possible_cpus())));
}

// libbpf before 1.7 never takes over a pinned device map: it compares the map's flags with those that it
// would make one with, and the kernel adds one of its own (BPF_F_RDONLY_PROG, dev_map_init_map() in
// kernel/bpf/devmap.c). False: none is pinned.
Result<bool> take_over_device_map(bpf_map* map, const std::string& path) {
  const Fd pinned(bpf_obj_get(path.c_str()));
  if (!pinned) return false;
  bpf_map_info info{};
  uint32_t size = sizeof info;
  if (const int error = bpf_obj_get_info_by_fd(pinned.get(), &info, &size))
    return system_error("identify " + path, error);
  if (info.type != bpf_map__type(map) || info.key_size != bpf_map__key_size(map) ||
      info.value_size != bpf_map__value_size(map) || info.max_entries != bpf_map__max_entries(map))
    return Error{ErrorCode::kInvalid, fmt::format("{} is pinned by something else than this version", path)};
  if (const int error = bpf_map__reuse_fd(map, pinned.get())) return system_error("take over " + path, error);
  return true;
}

}  // namespace

Result<sl_counter> read_counter(int map_fd, uint32_t index) {
  auto per_cpu = one_per_cpu();
  if (const int error = bpf_map_lookup_elem(map_fd, &index, per_cpu.data()))
    return system_error("read a counter", error);
  sl_counter sum{};
  for (const auto& counter : per_cpu) {
    sum.packets += counter.packets;
    sum.bytes += counter.bytes;
  }
  return sum;
}

Result<std::vector<sl_counter>> read_counters(int map_fd, uint32_t count) {
  std::vector<sl_counter> all;
  for (uint32_t index = 0; index < count; ++index) all.push_back(SLUICE_TRY(read_counter(map_fd, index)));
  return all;
}

Result<> clear_counter(int map_fd, uint32_t index) {
  const auto zeros = one_per_cpu();
  if (const int error = bpf_map_update_elem(map_fd, &index, zeros.data(), BPF_ANY))
    return system_error("clear a counter", error);
  return ok();
}

Result<uint32_t> map_id(int map_fd) {
  bpf_map_info info{};
  uint32_t size = sizeof info;
  if (const int error = bpf_obj_get_info_by_fd(map_fd, &info, &size))
    return system_error("identify a table", error);
  return info.id;
}

Result<> share_maps(bpf_object* object, const bpf_object* owner) {
  bpf_map* map = nullptr;
  bpf_object__for_each_map(map, object) {
    if (bpf_map__is_internal(map)) continue;
    const int shared = bpf_object__find_map_fd_by_name(owner, bpf_map__name(map));
    if (const int error = bpf_map__reuse_fd(map, shared))
      return system_error(fmt::format("share table '{}'", bpf_map__name(map)), error);
  }
  return ok();
}

Result<> pin_maps_in(bpf_object* object, const std::string& directory) {
  bpf_map* map = nullptr;
  bpf_object__for_each_map(map, object) {
    if (bpf_map__is_internal(map)) continue;
    const std::string path = fmt::format("{}/{}", directory, bpf_map__name(map));
    if (bpf_map__type(map) == BPF_MAP_TYPE_DEVMAP_HASH && SLUICE_TRY(take_over_device_map(map, path)))
      continue;
    bpf_map__set_pin_path(map, path.c_str());
  }
  return ok();
}

}  // namespace sluice::kernel
