#include "dataplane/fake_port.h"

#include <algorithm>
#include <cassert>

namespace sluice::dataplane {

Result<> FakePort::maybe_fail() {
  if (fail_write == 0 || --fail_write != 0) return ok();
  return Error{ErrorCode::kInternal, "this write was told to fail"};
}

Result<std::vector<ServiceEntry>> FakePort::services() const {
  std::vector<ServiceEntry> all;
  for (const auto& [key, value] : services_) all.push_back({key, value});
  return all;
}

void FakePort::write_block(uint32_t base, std::span<const uint32_t> slots,
                           std::span<const uint32_t> origins) {
  assert(base + slots.size() <= ring_.size() && slots.size() == origins.size());
  std::copy(slots.begin(), slots.end(), ring_.begin() + base);
  std::copy(origins.begin(), origins.end(), origin_.begin() + base);
}

Result<> FakePort::put_service(const ServiceKey& key, const sl_service& value) {
  SLUICE_TRY(maybe_fail());
  if (!services_.contains(key) && services_.size() == service_capacity_)
    return Error{ErrorCode::kNoSpace, "the service table is full"};
  services_[key] = value;
  return ok();
}

Result<> FakePort::delete_service(const ServiceKey& key) {
  SLUICE_TRY(maybe_fail());
  if (services_.erase(key) == 0) return Error{ErrorCode::kNotFound, "no such service"};
  return ok();
}

Result<> FakePort::put_backends(std::span<const BackendEntry> entries) {
  for (const auto& [id, value] : entries) {
    SLUICE_TRY(maybe_fail());
    assert(id > 0 && id < backends_.size());
    backends_[id] = value;
  }
  return ok();
}

Result<std::vector<sl_counter>> FakePort::backend_counters(std::span<const uint32_t> ids) const {
  std::vector<sl_counter> counters;
  for (const uint32_t id : ids) counters.push_back(counters_[id]);
  return counters;
}

Result<size_t> FakePort::erase_flows(const std::function<bool(const sl_flow_key&, const sl_flow&)>& pick) {
  return std::erase_if(flows, [&](const auto& flow) { return pick(flow.first, flow.second); });
}

}  // namespace sluice::dataplane
