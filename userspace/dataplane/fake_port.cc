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
  assert(slots.size() == origins.size());
  update_ring(base, slots);
  update_origin(base, origins);
}

void FakePort::update_ring(uint32_t base, std::span<const uint32_t> slots) {
  assert(base + slots.size() <= ring_.size());
  std::copy(slots.begin(), slots.end(), ring_.begin() + base);
}

void FakePort::update_origin(uint32_t base, std::span<const uint32_t> origins) {
  assert(base + origins.size() <= origin_.size());
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

Result<size_t> FakePort::erase_some_flows(FlowCursor& cursor, uint32_t most, const PickFlow& pick) {
  const auto first = flows.begin() + std::min<ptrdiff_t>(cursor.position, std::ssize(flows));
  const auto last = first + std::min<ptrdiff_t>(most, flows.end() - first);
  cursor.is_at_end = last == flows.end();
  const auto kept =
      std::remove_if(first, last, [&](const auto& flow) { return pick(flow.first, flow.second); });
  const auto erased = static_cast<size_t>(last - kept);
  cursor.position = static_cast<uint32_t>(kept - flows.begin());
  flows.erase(kept, last);
  return erased;
}

}  // namespace sluice::dataplane
