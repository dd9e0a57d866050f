// A backend as the data plane holds it: built from what the operator wants and what the kernel knows of the
// path.
#pragma once

#include <optional>
#include <string>

#include "base/address.h"
#include "bpf/abi.h"
#include "model/config.h"

namespace sluice::dataplane {

// How packets get to a backend's address from here.
struct Path {
  uint32_t ifindex = 0;
  MacAddress source_mac;
  MacAddress destination_mac;
  IpAddress source_address;  // what the route prefers; Encapsulation overrides it
  uint32_t mtu = 0;          // bytes of the longest IP packet
  bool operator==(const Path&) const = default;
};

// The outer packets' source: what is configured, else what the route prefers; nullopt when there is neither.
std::optional<IpAddress> outer_source(Family family, const model::Encapsulation& encapsulation,
                                      const Path& path);

// Without a path, or without a source for the outer packets, the entry is SL_BACKEND_UNRESOLVED.
sl_backend make_backend_entry(uint32_t service_id, const IpAddress& backend, Family inner,
                              const model::Encapsulation& encapsulation, const std::optional<Path>& path);

// The backend's address as the entry tells it.
IpAddress address_of(const sl_backend& entry);

}  // namespace sluice::dataplane
