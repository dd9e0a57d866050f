// Plans: what they do in which order, that every step is safe to stop after, and that they say truly what
// comes of them.
#include "plan/plan.h"

#include <gtest/gtest.h>

#include <set>

#include "expect_tables.h"
#include "random_config.h"
#include "watched_port.h"

namespace sluice::plan {
namespace {

using dataplane::FakePort;
using dataplane::ServiceKey;
using model::BackendState;
using test::make_backend;
using test::make_config;
using test::make_service;

constexpr uint32_t kServices = 16, kBackends = 128, kSlots = 1U << 14;

// Does the steps as plan.h says what they mean, through a port that watches.
class Executor {
 public:
  Executor(dataplane::Port& port, const model::Config& wanted) : port_(port), wanted_(wanted) {}

  void operator()(const PutBackend& put) {
    sl_backend entry =
        dataplane::make_backend_entry(put.service_id, put.address, put.service.vip.address.family, {}, {});
    for (const auto& service : wanted_.services) {
      if (ServiceKey::of(service) != put.service) continue;
      const model::Backend* backend = service.find_backend(put.address);
      if (backend->state == model::BackendState::kDown) entry.state = SL_BACKEND_DOWN;
    }
    EXPECT_TRUE(port_.put_backend(put.id, entry));
  }
  void operator()(const PutBlock& put) { port_.write_block(put.base, put.slots, put.origins); }
  void operator()(const ChangeBlock& change) {
    port_.update_origin(change.base, change.origins);
    port_.update_ring(change.base, change.slots);
  }
  void operator()(const PutService& put) { EXPECT_TRUE(port_.put_service(put.key, put.value)); }
  void operator()(const DeleteService& gone) { EXPECT_TRUE(port_.delete_service(gone.key)); }
  void operator()(const RetireBackend& gone) { port_.set_backend_state(gone.id, gone.state); }
  void operator()(const Reclaim& reclaim) {
    EXPECT_TRUE(port_.wait_for_packets());
    EXPECT_TRUE(port_.erase_flows([&](const sl_flow_key&, const sl_flow& flow) {
      return std::find(reclaim.backends.begin(), reclaim.backends.end(), flow.backend) !=
             reclaim.backends.end();
    }));
  }

 private:
  dataplane::Port& port_;
  const model::Config& wanted_;
};

class PlanTest : public testing::Test {
 protected:
  Result<Plan> plan(const model::Config& wanted, const model::Config* applied = nullptr) const {
    return make_plan(layout_, tables_, applied, wanted);
  }

  // The plan, done.
  Plan apply(const model::Config& wanted) {
    auto made = plan(wanted);
    EXPECT_TRUE(made.ok()) << made.error().message;
    for (const auto& step : made->steps) std::visit(Executor(port_, wanted), step);
    layout_ = made->after;
    return std::move(made).value();
  }

  uint32_t id_of(const model::Service& service, std::string_view backend) const {
    return layout_.services.at(ServiceKey::of(service)).backends.at(*IpAddress::parse(backend));
  }

  FakePort tables_{kServices, kBackends, kSlots};
  test::WatchedPort port_{tables_};
  Layout layout_{kServices, kBackends, kSlots};
};

std::string kinds(const std::vector<Step>& steps) {
  static constexpr const char* kWords[] = {"backend",  "block",   "service", "-service",
                                           "-backend", "reclaim", "change"};
  std::string text;
  for (const auto& step : steps) text.append(text.empty() ? "" : " ").append(kWords[step.index()]);
  return text;
}

model::Service web() {
  return make_service("web", "192.0.2.1:80", {make_backend("10.0.0.1"), make_backend("10.0.0.2")});
}

TEST_F(PlanTest, PublishesAServiceLast) {
  EXPECT_EQ(kinds(apply(make_config({web()})).steps), "backend backend block service");
  expect_tables(port_, layout_, make_config({web()}), kServices);
}

TEST_F(PlanTest, TakesAServiceBackFirst) {
  apply(make_config({web()}));
  EXPECT_EQ(kinds(apply({}).steps), "-service -backend -backend reclaim");
  expect_tables(port_, layout_, {}, kServices);
}

TEST_F(PlanTest, RetiresABackendWhenNoPublishedSlotNamesIt) {
  apply(make_config({web()}));
  model::Service changed = web();
  changed.backends = {make_backend("10.0.0.2"), make_backend("10.0.0.3")};
  EXPECT_EQ(kinds(apply(make_config({changed})).steps), "backend block service -backend reclaim");
}

TEST_F(PlanTest, HasNothingToDoForWhatIsThere) {
  const model::Config config = make_config({web()});
  apply(config);
  EXPECT_EQ(kinds(plan(config)->steps), "") << "by comparing the tables";
  EXPECT_EQ(kinds(plan(config, &config)->steps), "") << "by comparing the configurations";
  EXPECT_TRUE(plan(config)->forecasts.empty());

  model::Config same = config;
  same.services[0].name = "another";
  std::swap(same.services[0].backends[0], same.services[0].backends[1]);
  same.services[0].backends[0].next_hop = MacAddress::parse("02:00:00:00:00:01").value();
  same.defaults.grace_seconds = 5;
  EXPECT_EQ(kinds(plan(same, &config)->steps), "") << "names, order and paths are no business of the tables";
}

TEST_F(PlanTest, TouchesOnlyTheServicesThatChange) {
  const model::Config before =
      make_config({web(), make_service("dns", "192.0.2.1:53", {make_backend("10.0.0.1")})});
  apply(before);
  model::Config after = before;
  after.services[1].backends.push_back(make_backend("10.0.0.9"));
  for (const model::Config* applied : {&before, static_cast<const model::Config*>(nullptr)}) {
    const auto made = plan(after, applied);
    EXPECT_EQ(kinds(made->steps), "backend block service reclaim");
    ASSERT_EQ(made->forecasts.size(), 1u);
    EXPECT_EQ(made->forecasts[0].service, ServiceKey::of(after.services[1]));
  }
}

TEST_F(PlanTest, RepairsSlotsThatAFaultChanged) {
  const model::Config config = make_config({web()});
  apply(config);
  const sl_service value = layout_.services.begin()->second.value;
  const auto block = tables_.ring().subspan(value.ring_base, value.ring_mask + 1);
  std::vector<uint32_t> slots(block.begin(), block.end()), origins = slots;
  slots[17] = origins[17] = slots[17] == 1 ? 2 : 1;
  tables_.write_block(value.ring_base, slots, origins);
  EXPECT_EQ(kinds(plan(config, &config)->steps), "") << "it believes the configuration that it is given";
  apply(config);
  expect_tables(port_, layout_, config, kServices);
}

TEST_F(PlanTest, DrainsByMovingNewFlowsAndKeepingTheOldOnes) {
  apply(make_config({web()}));
  model::Service drained = web();
  drained.backends[0].state = BackendState::kDrain;
  const Plan made = apply(make_config({drained}));
  ASSERT_EQ(made.forecasts.size(), 1u);
  EXPECT_EQ(made.forecasts[0].slots, 256u);
  EXPECT_EQ(made.forecasts[0].moved, 128u);
  EXPECT_EQ(made.forecasts[0].tracked, 128u);
  const uint32_t base = layout_.services.begin()->second.value.ring_base;
  unsigned kept = 0;
  for (uint32_t i = base; i < base + 256; ++i) {
    EXPECT_EQ(tables_.ring()[i] & ~SL_SLOT_TRACKED, id_of(drained, "10.0.0.2"));
    kept += tables_.origin()[i] == id_of(drained, "10.0.0.1");
  }
  EXPECT_EQ(kept, 128u);
}

TEST_F(PlanTest, ForecastsAllSlotsOfAServiceThatGoes) {
  apply(make_config({web()}));
  const auto made = plan({});
  ASSERT_EQ(made->forecasts.size(), 1u);
  EXPECT_EQ(made->forecasts[0].moved, 256u);
  EXPECT_EQ(made->forecasts[0].tracked, 0u);
}

TEST_F(PlanTest, TracksWhatTheServiceAsksFor) {
  const auto flags = [&](model::Protocol protocol, model::FlowTracking flows) {
    model::Service service = web();
    service.protocol = protocol;
    service.flows = flows;
    return apply(make_config({service})).after.services.begin()->second.value.flags;
  };
  using enum model::FlowTracking;
  EXPECT_EQ(flags(model::Protocol::kTcp, kAuto), 0u);
  EXPECT_EQ(flags(model::Protocol::kTcp, kTracked), SL_SERVICE_TRACK_ALL);
  EXPECT_EQ(flags(model::Protocol::kTcp, kStateless), SL_SERVICE_TRACK_NONE);
  EXPECT_EQ(flags(model::Protocol::kUdp, kAuto), SL_SERVICE_TRACK_ALL);
  EXPECT_EQ(flags(model::Protocol::kUdp, kTracked), SL_SERVICE_TRACK_ALL);
  EXPECT_EQ(flags(model::Protocol::kUdp, kStateless), SL_SERVICE_TRACK_NONE);
}

// However large a ring is, its service can be drained, and its hash changed.
TEST(Plan, ChangesABlockInItsPlaceWhereThereIsNoRoomForAnother) {
  FakePort tables(kServices, kBackends, 512);
  test::WatchedPort port(tables);
  Layout layout(kServices, kBackends, 512);
  model::Service service = web();
  const auto apply = [&] {
    const model::Config wanted = make_config({service});
    const auto made = make_plan(layout, tables, nullptr, wanted);
    EXPECT_TRUE(made.ok()) << made.error().message;
    for (const auto& step : made->steps) std::visit(Executor(port, wanted), step);
    layout = made->after;
    expect_tables(port, layout, wanted, kServices);
    return kinds(made->steps);
  };
  service.ring_slots = 512;
  EXPECT_EQ(apply(), "backend backend block service");
  service.backends[0].state = model::BackendState::kDrain;
  EXPECT_EQ(apply(), "change");
  service.backends[0].state = model::BackendState::kDown;
  EXPECT_EQ(apply(), "change -backend reclaim");
  service.hash = model::FlowHash::kSourceIp;
  EXPECT_EQ(apply(), "change service");
}

uint32_t hash_bits(sl_slot_hash hash, sl_slot_hash origin_hash) {
  return static_cast<uint32_t>(hash) << SL_SERVICE_HASH_SHIFT | static_cast<uint32_t>(origin_hash)
                                                                    << SL_SERVICE_ORIGIN_HASH_SHIFT;
}

TEST_F(PlanTest, KeepsTheHashOfOlderFlowsForTheOrigins) {
  model::Service service = web();
  apply(make_config({service}));
  const auto flags = [&] { return layout_.services.at(ServiceKey::of(service)).value.flags; };
  service.hash = model::FlowHash::kSourceIp;
  const Plan made = apply(make_config({service}));
  EXPECT_EQ(flags(), hash_bits(SL_HASH_SOURCE, SL_HASH_FLOW));
  ASSERT_EQ(made.forecasts.size(), 1u);
  EXPECT_EQ(made.forecasts.front().moved, made.forecasts.front().slots);
  EXPECT_EQ(made.forecasts.front().tracked, made.forecasts.front().slots);
  service.hash = model::FlowHash::kSourceIpPort;
  apply(make_config({service}));
  EXPECT_EQ(flags(), hash_bits(SL_HASH_SOURCE_PORT, SL_HASH_FLOW))
      << "flows of the first hash may be silent still";
  service.hash = model::FlowHash::kFiveTuple;
  apply(make_config({service}));
  EXPECT_EQ(flags(), hash_bits(SL_HASH_FLOW, SL_HASH_FLOW));
}

TEST_F(PlanTest, KeepsNoOlderHashWhereNoOlderFlowIsKept) {
  model::Service service = web();
  service.protocol = model::Protocol::kUdp;
  apply(make_config({service}));
  service.hash = model::FlowHash::kSourceIp;
  apply(make_config({service}));
  EXPECT_EQ(layout_.services.at(ServiceKey::of(service)).value.flags,
            SL_SERVICE_TRACK_ALL | hash_bits(SL_HASH_SOURCE, SL_HASH_SOURCE));
}

TEST_F(PlanTest, TakesABackendDownAndBringsItUpUnderItsId) {
  model::Service service = web();
  apply(make_config({service}));
  const uint32_t id = id_of(service, "10.0.0.1");
  service.backends[0].state = model::BackendState::kDown;
  const Plan down = apply(make_config({service}));
  EXPECT_EQ(kinds(down.steps), "block service -backend reclaim");
  EXPECT_EQ(down.forecasts.front().tracked, 0u) << "nobody's flows are kept on it";
  EXPECT_EQ(tables_.backends()[id].state, SL_BACKEND_DOWN);
  service.backends[0].state = model::BackendState::kUp;
  const Plan up = apply(make_config({service}));
  EXPECT_EQ(kinds(up.steps), "backend block service reclaim");
  EXPECT_FALSE(std::get<PutBackend>(up.steps.front()).is_new);
  EXPECT_EQ(id_of(service, "10.0.0.1"), id);
}

TEST_F(PlanTest, MarksNoSlotOfAStatelessServiceAsTracked) {
  model::Service service = web();
  service.flows = model::FlowTracking::kStateless;
  apply(make_config({service}));
  service.backends[0].state = BackendState::kDrain;
  EXPECT_EQ(apply(make_config({service})).forecasts.at(0).tracked, 0u);
}

// ---- tables that are full ----

struct Full {
  const char* limit;
  uint32_t services, backends, slots;
};

class FullTable : public testing::TestWithParam<Full> {};

TEST_P(FullTable, IsToldByTheLimitThatHelps) {
  const auto& [limit, services, backends, slots] = GetParam();
  FakePort tables(services, backends, slots);
  Layout layout(services, backends, slots);
  EXPECT_TRUE(make_plan(layout, tables, nullptr, make_config({web()})).ok());
  const model::Config two = make_config(
      {web(), make_service("two", "192.0.2.2:80", {make_backend("10.0.0.1"), make_backend("10.0.0.2")})});
  const auto made = make_plan(layout, tables, nullptr, two);
  ASSERT_FALSE(made.ok());
  EXPECT_EQ(made.error().code, ErrorCode::kNoSpace);
  EXPECT_NE(made.error().message.find(std::string("limits.") + limit), std::string::npos)
      << made.error().message;
  EXPECT_NE(made.error().message.find("192.0.2.2:80"), std::string::npos) << made.error().message;
}

INSTANTIATE_TEST_SUITE_P(Plan, FullTable,
                         testing::Values(Full{"services", 1, 64, 4096}, Full{"backends", 8, 3, 4096},
                                         Full{"ring_slots", 8, 64, 256}),
                         [](const auto& full) { return full.param.limit; });

// In tables that hold one service, one takes the other's place within a single plan.
TEST_P(FullTable, IsRoomEnoughForAnotherInItsPlace) {
  const auto& [limit, services, backends, slots] = GetParam();
  FakePort tables(services, backends, slots);
  test::WatchedPort port(tables);
  Layout layout(services, backends, slots);
  const model::Config wanted[] = {
      make_config({web()}),
      make_config(
          {make_service("two", "192.0.2.2:80", {make_backend("10.0.0.1"), make_backend("10.0.0.2")})})};
  for (int i = 0; i < 4; ++i) {
    const auto made = make_plan(layout, tables, nullptr, wanted[i % 2]);
    ASSERT_TRUE(made.ok()) << made.error().message;
    for (const auto& step : made->steps) std::visit(Executor(port, wanted[i % 2]), step);
    layout = made->after;
    expect_tables(port, layout, wanted[i % 2], services);
  }
}

// ---- any configuration after any other ----

// What a new agent would find after each step: no more may be lost than what the next plan takes up again.
void expect_recoverable(const FakePort& tables, const model::Config& wanted) {
  auto found = recover_layout(tables, kServices);
  ASSERT_TRUE(found.ok());
  EXPECT_TRUE(found->bad_services.empty());
  size_t slots = 0;
  const auto services = tables.services();
  for (const auto& [key, value] : *services) slots += value.ring_mask + size_t{1};
  EXPECT_EQ(found->layout.ring.free_count(), kSlots - slots) << "a block that nothing names is free";
  EXPECT_TRUE(make_plan(found->layout, tables, nullptr, wanted).ok());
}

TEST_F(PlanTest, IsSafeToStopAfterEveryStep) {
  for (unsigned seed = 1; seed <= 40 && !HasFailure(); ++seed) {
    SCOPED_TRACE("configurations " + std::to_string(seed));
    test::RandomConfig random(seed);
    FakePort tables(kServices, kBackends, kSlots);
    test::WatchedPort port(tables);
    Layout layout(kServices, kBackends, kSlots);
    for (int i = 0; i < 5 && !HasFailure(); ++i) {
      const model::Config wanted = random.next();
      const auto made = make_plan(layout, tables, nullptr, wanted);
      ASSERT_TRUE(made.ok()) << made.error().message;
      for (const auto& step : made->steps) {
        std::visit(Executor(port, wanted), step);
        expect_recoverable(tables, wanted);
      }
      layout = made->after;
      expect_tables(port, layout, wanted, kServices);
    }
  }
}

// Where everything cannot be there at once, what is in the way goes first, or all stays as it is.
TEST_F(PlanTest, IsAsSafeWhereTablesAreTight) {
  unsigned refused = 0, reclaimed_early = 0;
  for (unsigned seed = 1; seed <= 40 && !HasFailure(); ++seed) {
    SCOPED_TRACE("configurations " + std::to_string(seed));
    test::RandomConfig random(seed);
    FakePort tables(5, 40, 6144);
    test::WatchedPort port(tables);
    Layout layout(5, 40, 6144);
    for (int i = 0; i < 12 && !HasFailure(); ++i) {
      const model::Config wanted = random.next();
      const auto made = make_plan(layout, tables, nullptr, wanted);
      if (!made.ok()) {
        EXPECT_EQ(made.error().code, ErrorCode::kNoSpace);
        ++refused;
        continue;
      }
      for (const auto& step : made->steps) std::visit(Executor(port, wanted), step);
      const std::string done = kinds(made->steps);
      reclaimed_early += done.find("reclaim") + 7 < done.size();
      layout = made->after;
      expect_tables(port, layout, wanted, 5);
    }
  }
  EXPECT_GT(reclaimed_early, 50u);
  EXPECT_GT(refused, 0u);
  EXPECT_LT(refused, 240u);
}

TEST_F(PlanTest, SaysTheSameOfTheTablesAsRecoveryFindsInThem) {
  test::RandomConfig random(7);
  for (int i = 0; i < 60 && !HasFailure(); ++i) {
    const model::Config wanted = random.next();
    apply(wanted);
    const auto found = recover_layout(tables_, kServices);
    EXPECT_TRUE(found->stray_backends.empty());
    expect_tables(port_, found->layout, wanted, kServices);
    EXPECT_EQ(kinds(make_plan(found->layout, tables_, nullptr, wanted)->steps), "");
    EXPECT_EQ(kinds(plan(wanted)->steps), "");
  }
}

TEST_F(PlanTest, DoesTheSameWhetherOrNotItKnowsWhatWasApplied) {
  test::RandomConfig random(8);
  model::Config applied = random.next();
  apply(applied);
  for (int i = 0; i < 60; ++i) {
    const model::Config wanted = random.next();
    const auto known = plan(wanted, &applied), compared = plan(wanted);
    EXPECT_EQ(kinds(known->steps), kinds(compared->steps));
    apply(wanted);
    applied = wanted;
  }
}

TEST_F(PlanTest, ForecastsWhatTheSlotsThenSay) {
  test::RandomConfig random(9);
  for (int i = 0; i < 60; ++i) {
    const Plan made = apply(random.next());
    for (const Forecast& forecast : made.forecasts) {
      const auto placed = layout_.services.find(forecast.service);
      if (placed == layout_.services.end()) continue;
      EXPECT_EQ(forecast.slots, placed->second.slots());
      uint32_t tracked = 0;
      for (const uint32_t slot : tables_.ring().subspan(placed->second.value.ring_base, forecast.slots))
        tracked += (slot & SL_SLOT_TRACKED) != 0;
      EXPECT_EQ(forecast.tracked, tracked);
      EXPECT_LE(forecast.moved, forecast.slots);
    }
  }
}

}  // namespace
}  // namespace sluice::plan
