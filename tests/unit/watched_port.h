// A port for tests of what stands above it: passes everything on to a FakePort, and looks at the tables as
// packets do before and after each write. A packet may hold a service's value, and with it a block and the
// backends that it names, from any moment since the last wait_for_packets(); nothing of that may be given to
// another until then.
//
// A write can be made to fail, or to be the one that the agent dies in.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <set>
#include <utility>
#include <vector>

#include "dataplane/backend_entry.h"
#include "dataplane/fake_port.h"

namespace sluice::test {

using dataplane::FakePort;
using dataplane::ServiceEntry;
using dataplane::ServiceKey;

struct Crash {};  // thrown from a write; what follows must be done by a new agent

class WatchedPort final : public dataplane::Port {
 public:
  explicit WatchedPort(FakePort& tables) : tables_(tables) {}

  // 0: never; 1: the next write. A fault that lasts hits every write after, too.
  unsigned fail_write = 0, crash_write = 0;
  bool fault_lasts = false;
  unsigned writes = 0;  // so far
  unsigned faults = 0;  // writes that failed
  std::vector<uint32_t> backends_put, counters_cleared;

  std::span<const uint32_t> ring() const override { return tables_.ring(); }
  std::span<const uint32_t> origin() const override { return tables_.origin(); }
  std::span<const sl_backend> backends() const override { return tables_.backends(); }
  Result<std::vector<ServiceEntry>> services() const override { return tables_.services(); }
  Result<std::vector<sl_counter>> backend_counters(std::span<const uint32_t> ids) const override {
    return tables_.backend_counters(ids);
  }
  Result<std::vector<sl_counter>> reason_counters() const override { return tables_.reason_counters(); }
  Result<std::vector<sl_counter>> flow_counters() const override { return tables_.flow_counters(); }

  void write_block(uint32_t base, std::span<const uint32_t> slots,
                   std::span<const uint32_t> origins) override {
    const auto size = static_cast<uint32_t>(slots.size());
    for (const auto& [key, value] : published())
      EXPECT_FALSE(overlaps(value, base, size))
          << "a published block of " << key.to_string() << " is written to";
    for (const sl_service& value : held_)
      EXPECT_FALSE(overlaps(value, base, size)) << "a block is written to that packets may be in";
    if (crashes()) {  // in its midst
      tables_.write_block(base, slots.first(size / 2), origins.first(size / 2));
      throw Crash{};
    }
    tables_.write_block(base, slots, origins);
    look();
  }

  void update_ring(uint32_t base, std::span<const uint32_t> slots) override {
    if (crashes()) {  // in its midst
      tables_.update_ring(base, slots.first(slots.size() / 2));
      throw Crash{};
    }
    tables_.update_ring(base, slots);
    look();
  }

  void update_origin(uint32_t base, std::span<const uint32_t> origins) override {
    if (crashes()) {
      tables_.update_origin(base, origins.first(origins.size() / 2));
      throw Crash{};
    }
    tables_.update_origin(base, origins);
    look();
  }

  Result<> put_service(const ServiceKey& key, const sl_service& value) override {
    SLUICE_TRY(begin_write());
    hold(key);
    SLUICE_TRY(tables_.put_service(key, value));
    look();
    return ok();
  }

  Result<> delete_service(const ServiceKey& key) override {
    SLUICE_TRY(begin_write());
    hold(key);
    SLUICE_TRY(tables_.delete_service(key));
    look();
    return ok();
  }

  Result<> put_backends(std::span<const dataplane::BackendEntry> entries) override {
    for (const auto& [id, entry] : entries) SLUICE_TRY(put_one(id, entry));
    return ok();
  }

  Result<> put_one(uint32_t id, const sl_backend& entry) {
    SLUICE_TRY(begin_write());
    const sl_backend before = tables_.backends()[id];
    if (before.state == SL_BACKEND_UNSET)
      expect_unused(id);
    else
      EXPECT_TRUE(before.service_id == entry.service_id &&
                  dataplane::address_of(before) == dataplane::address_of(entry))
          << "the id " << id << " is taken from a living backend";
    backends_put.push_back(id);
    SLUICE_TRY(tables_.put_backend(id, entry));
    look();
    return ok();
  }

  void set_backend_state(uint32_t id, sl_backend_state state) override {
    if (crashes()) throw Crash{};
    if (state == SL_BACKEND_UNSET || state == SL_BACKEND_DOWN) leaving_.insert(id);
    tables_.set_backend_state(id, state);
    look();
  }

  Result<> wait_for_packets() override {
    SLUICE_TRY(begin_write());
    // The last packets that had found such a backend alive put their flows into the table only now.
    for (const uint32_t id : leaving_) {
      sl_flow_key key{};
      key.source[0] = ++late_flows_;
      tables_.flows.push_back({key, {id, tables_.backends()[id].service_id, late_flows_, 0, 0}});
    }
    SLUICE_TRY(tables_.wait_for_packets());
    held_.clear();
    leaving_.clear();
    return ok();
  }

  Result<size_t> erase_some_flows(dataplane::FlowCursor& cursor, uint32_t most,
                                  const PickFlow& pick) override {
    SLUICE_TRY(begin_write());
    return tables_.erase_some_flows(cursor, most, pick);
  }

  Result<> clear_backend_counter(uint32_t id) override {
    SLUICE_TRY(begin_write());
    counters_cleared.push_back(id);
    return tables_.clear_backend_counter(id);
  }

  Result<> allow_egress(uint32_t ifindex) override {
    SLUICE_TRY(begin_write());
    return tables_.allow_egress(ifindex);
  }

 private:
  static bool overlaps(const sl_service& value, uint32_t base, uint32_t size) {
    return value.ring_base < base + size && base <= value.ring_base + value.ring_mask;
  }

  std::vector<ServiceEntry> published() const { return *tables_.services(); }

  static bool hits(unsigned& countdown, bool lasts) {
    if (countdown == 0 || --countdown != 0) return false;
    countdown = lasts ? 1 : 0;
    return true;
  }

  bool crashes() {
    ++writes;
    return hits(crash_write, false);
  }

  Result<> begin_write() {
    if (crashes()) throw Crash{};
    if (!hits(fail_write, fault_lasts)) return ok();
    ++faults;
    return Error{ErrorCode::kInternal, "this write was told to fail"};
  }

  void hold(const ServiceKey& key) {
    for (const auto& entry : published())
      if (entry.key == key) held_.push_back(entry.value);
  }

  // What packets meet in the slots of a service value: `unset_is_fine` where it is no longer published. A
  // plain loop, for it runs after each write.
  void look_at(const sl_service& value, bool unset_is_fine, const std::string& whose) const {
    const uint32_t* ring = tables_.ring().data();
    const uint32_t* origins = tables_.origin().data();
    const sl_backend* backends = tables_.backends().data();
    std::vector<char> is_named(tables_.backends().size());
    char* named = is_named.data();
    for (uint32_t i = value.ring_base; i <= value.ring_base + value.ring_mask; ++i) {
      named[ring[i] & ~SL_SLOT_TRACKED] = 1;
      if ((ring[i] & SL_SLOT_TRACKED) != 0) named[origins[i]] = 1;
    }
    for (uint32_t id = 1; id < is_named.size(); ++id) {
      if (named[id] == 0) continue;
      const sl_backend& entry = backends[id];
      EXPECT_TRUE(entry.state == SL_BACKEND_UNSET ? unset_is_fine : entry.service_id == value.id)
          << whose << ": packets meet backend " << id;
    }
  }

  void look() const {
    if (testing::Test::HasFailure()) return;
    for (const auto& [key, value] : published()) look_at(value, false, key.to_string());
    for (const sl_service& value : held_) look_at(value, true, "a former value");
    for (const auto& [key, flow] : tables_.flows) {
      const sl_backend& entry = tables_.backends()[flow.backend];
      ASSERT_TRUE(entry.state == SL_BACKEND_UNSET || entry.service_id == flow.service_id)
          << "a flow was given to a stranger, backend " << flow.backend;
    }
  }

  void expect_unused(uint32_t id) const {
    EXPECT_FALSE(leaving_.contains(id)) << "packets may still hold the former backend " << id;
    const uint32_t* ring = tables_.ring().data();
    const uint32_t* origins = tables_.origin().data();
    const auto unnamed_in = [&](const sl_service& value) {
      for (uint32_t i = value.ring_base; i <= value.ring_base + value.ring_mask; ++i)
        if ((ring[i] & ~SL_SLOT_TRACKED) == id || origins[i] == id) return false;
      return true;
    };
    for (const auto& [key, value] : published())
      EXPECT_TRUE(unnamed_in(value)) << key.to_string() << " names " << id;
    for (const sl_service& value : held_) EXPECT_TRUE(unnamed_in(value)) << "a former value names " << id;
    EXPECT_TRUE(std::none_of(tables_.flows.begin(), tables_.flows.end(),
                             [&](const auto& flow) { return flow.second.backend == id; }))
        << "a flow still names the former backend " << id;
  }

  FakePort& tables_;
  std::vector<sl_service> held_;  // former values that packets may still work with
  std::set<uint32_t> leaving_;    // backends that packets may still believe alive
  uint32_t late_flows_ = 0;
};

}  // namespace sluice::test
