// What every owner of maps needs, whichever program they belong to.
#pragma once

#include <string>
#include <vector>

#include "base/result.h"
#include "bpf/abi.h"

struct bpf_map;
struct bpf_object;

namespace sluice::kernel {

// The first `count` elements of a per-CPU array of sl_counter, each summed over CPUs.
Result<std::vector<sl_counter>> read_counters(int map_fd, uint32_t count);
Result<sl_counter> read_counter(int map_fd, uint32_t index);
Result<> clear_counter(int map_fd, uint32_t index);

// The kernel's id of a loaded map.
Result<uint32_t> map_id(int map_fd);

// Gives every map of `object`, except its own data sections, the descriptor of the map of that name in
// `owner`.
Result<> share_maps(bpf_object* object, const bpf_object* owner);
// Loading `object` will pin every map of it, except its data sections, under its name in the directory, or
// take over the map that is pinned there.
Result<> pin_maps_in(bpf_object* object, const std::string& directory);

}  // namespace sluice::kernel
