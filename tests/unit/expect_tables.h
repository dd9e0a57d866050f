// What the tables must hold for a configuration, whatever way led there: said without the planner's words.
#pragma once

#include <gtest/gtest.h>

#include <set>
#include <vector>

#include "dataplane/backend_entry.h"
#include "dataplane/port.h"
#include "model/config.h"
#include "plan/layout.h"
#include "ring/ring.h"

namespace sluice::test {

inline uint32_t expected_hash(const model::Service& service) {
  return service.hash == model::FlowHash::kSourceIp       ? SL_HASH_SOURCE
         : service.hash == model::FlowHash::kSourceIpPort ? SL_HASH_SOURCE_PORT
                                                          : SL_HASH_FLOW;
}

inline uint32_t expected_tracking(const model::Service& service) {
  if (service.flows == model::FlowTracking::kStateless) return SL_SERVICE_TRACK_NONE;
  if (service.flows == model::FlowTracking::kTracked || service.protocol == model::Protocol::kUdp)
    return SL_SERVICE_TRACK_ALL;
  return 0;
}

// New flows are spread as the ring says, were the service just made.
inline void expect_ring(const dataplane::Port& port, const plan::ServiceLayout& placed,
                        const model::Service& service) {
  std::vector<ring::Member> members;
  for (const auto& backend : service.backends)
    if (backend.state == model::BackendState::kUp)
      members.push_back({{static_cast<uint8_t>(backend.address.family), backend.address.bytes},
                         backend.weight,
                         placed.backends.at(backend.address)});
  const auto fresh = ring::build(members, service.ring_slots);
  ASSERT_GE(placed.slots(), service.ring_slots);
  const uint32_t* ring = port.ring().data() + placed.value.ring_base;
  for (uint32_t i = 0; i < placed.slots(); ++i)
    if ((ring[i] & ~SL_SLOT_TRACKED) != fresh[i & (service.ring_slots - 1)])
      FAIL() << service.name << ": slot " << i << " names " << ring[i];
}

inline void expect_service(const dataplane::Port& port, const plan::ServiceLayout& placed,
                           const model::Service& service) {
  constexpr uint32_t kOriginHash = SL_SERVICE_HASH_MASK << SL_SERVICE_ORIGIN_HASH_SHIFT;
  EXPECT_EQ(placed.value.flags & ~kOriginHash, expected_tracking(service) | expected_hash(service)
                                                                                << SL_SERVICE_HASH_SHIFT)
      << service.name;
  ASSERT_EQ(placed.backends.size(), service.backends.size()) << service.name;
  for (const auto& backend : service.backends) {
    ASSERT_TRUE(placed.backends.contains(backend.address)) << backend.address.to_string();
    const sl_backend& entry = port.backends()[placed.backends.at(backend.address)];
    EXPECT_NE(entry.state, SL_BACKEND_UNSET);
    EXPECT_EQ(entry.state == SL_BACKEND_DOWN, backend.state == model::BackendState::kDown);
    EXPECT_EQ(entry.service_id, placed.value.id);
    EXPECT_EQ(dataplane::address_of(entry), backend.address);
  }
  expect_ring(port, placed, service);
}

// Nothing is lost and nothing counted twice: what is not in use is free.
inline void expect_free_counts(const dataplane::Port& port, const plan::Layout& layout,
                               uint32_t service_capacity) {
  size_t slots = 0;
  std::set<uint32_t> ids;
  for (const auto& [key, placed] : layout.services) {
    slots += placed.slots();
    for (const auto& [address, id] : placed.backends) ids.insert(id);
  }
  EXPECT_EQ(layout.ring.free_count(), port.ring().size() - slots);
  EXPECT_EQ(layout.backend_ids.free_count(), port.backends().size() - 1 - ids.size());
  EXPECT_EQ(layout.service_ids.free_count(), service_capacity - layout.services.size());
  for (uint32_t id = 1; id < port.backends().size(); ++id)
    EXPECT_EQ(port.backends()[id].state != SL_BACKEND_UNSET, ids.contains(id)) << "backend " << id;
}

// `layout` is that of `port`, and both are `config`'s.
inline void expect_tables(const dataplane::Port& port, const plan::Layout& layout,
                          const model::Config& config, uint32_t service_capacity) {
  const auto published = *port.services();
  ASSERT_EQ(published.size(), config.services.size());
  ASSERT_EQ(layout.services.size(), config.services.size());
  for (const auto& [key, value] : published) {
    ASSERT_TRUE(layout.services.contains(key)) << key.to_string();
    const sl_service& placed = layout.services.at(key).value;
    EXPECT_TRUE(placed.ring_base == value.ring_base && placed.ring_mask == value.ring_mask &&
                placed.id == value.id && placed.flags == value.flags)
        << key.to_string();
  }
  for (const auto& service : config.services) {
    ASSERT_TRUE(layout.services.contains(dataplane::ServiceKey::of(service))) << service.name;
    expect_service(port, layout.services.at(dataplane::ServiceKey::of(service)), service);
  }
  expect_free_counts(port, layout, service_capacity);
}

}  // namespace sluice::test
