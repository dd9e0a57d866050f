// The tables in memory, for tests of what stands above the port.
#pragma once

#include <map>
#include <set>

#include "dataplane/port.h"

namespace sluice::dataplane {

class FakePort final : public Port {
 public:
  FakePort(uint32_t services, uint32_t backends, uint32_t ring_slots)
      : service_capacity_(services),
        ring_(ring_slots),
        origin_(ring_slots),
        backends_(backends + 1),
        counters_(backends + 1) {}

  std::span<const uint32_t> ring() const override { return ring_; }
  std::span<const uint32_t> origin() const override { return origin_; }
  std::span<const sl_backend> backends() const override { return backends_; }
  Result<std::vector<ServiceEntry>> services() const override;
  void write_block(uint32_t base, std::span<const uint32_t> slots,
                   std::span<const uint32_t> origins) override;
  void update_ring(uint32_t base, std::span<const uint32_t> slots) override;
  void update_origin(uint32_t base, std::span<const uint32_t> origins) override;
  Result<> put_service(const ServiceKey& key, const sl_service& value) override;
  Result<> delete_service(const ServiceKey& key) override;
  Result<> put_backends(std::span<const BackendEntry> entries) override;
  void set_backend_state(uint32_t id, sl_backend_state state) override { backends_[id].state = state; }
  Result<> wait_for_packets() override {
    ++waits;
    return ok();
  }
  Result<size_t> erase_some_flows(FlowCursor& cursor, uint32_t most, const PickFlow& pick) override;
  Result<std::vector<sl_counter>> backend_counters(std::span<const uint32_t> ids) const override;
  Result<std::vector<sl_counter>> reason_counters() const override {
    return std::vector<sl_counter>(SL_REASON_COUNT);
  }
  Result<std::vector<sl_counter>> flow_counters() const override {
    return std::vector<sl_counter>(SL_FLOW_EVENT_COUNT);
  }
  Result<> clear_backend_counter(uint32_t id) override {
    counters_[id] = {};
    return ok();
  }
  Result<> allow_egress(uint32_t ifindex) override {
    egress.insert(ifindex);
    return ok();
  }

  // Fails the n-th write from now (1 is the next), once; 0 never.
  unsigned fail_write = 0;
  unsigned waits = 0;
  std::set<uint32_t> egress;
  std::vector<std::pair<sl_flow_key, sl_flow>> flows;

 private:
  Result<> maybe_fail();

  size_t service_capacity_;
  std::vector<uint32_t> ring_, origin_;
  std::vector<sl_backend> backends_;
  std::vector<sl_counter> counters_;
  std::map<ServiceKey, sl_service> services_;
};

}  // namespace sluice::dataplane
