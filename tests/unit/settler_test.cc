#include "apply/settler.h"

#include <gtest/gtest.h>

#include "apply/applier.h"
#include "random_config.h"
#include "watched_port.h"

namespace sluice::apply {
namespace {

using dataplane::ServiceKey;
using model::BackendState;
using test::make_backend;
using test::make_config;
using test::make_service;

constexpr model::Limits kLimits{.services = 8, .backends = 16, .ring_slots = 1U << 16, .flows = 1024};
constexpr uint32_t kSlots = 256;
constexpr std::chrono::seconds kGrace{900};
constexpr uint64_t kSecond = 1'000'000'000;

model::Config web(BackendState first, uint32_t slots = kSlots,
                  model::FlowTracking flows = model::FlowTracking::kAuto,
                  model::FlowHash hash = model::FlowHash::kFiveTuple) {
  model::Service service = make_service(
      "web", "192.0.2.1:80", {make_backend("10.0.0.1", 1, first), make_backend("10.0.0.2")}, slots);
  service.flows = flows;
  service.hash = hash;
  return make_config({service});
}

class SettlerTest : public testing::Test {
 protected:
  void SetUp() override {
    auto made = Applier::take_over(
        port_, kLimits, [](const IpAddress&, const std::optional<MacAddress>&) { return std::nullopt; });
    ASSERT_TRUE(made.ok());
    applier_.emplace(std::move(made).value());
  }

  void apply(const model::Config& config) { ASSERT_TRUE(applier_->apply(config).ok()); }

  const plan::ServiceLayout& placed() const {
    return *applier_->placed({*Endpoint::parse("192.0.2.1:80"), model::Protocol::kTcp});
  }
  uint32_t id(std::string_view address) const { return placed().backends.at(*IpAddress::parse(address)); }
  uint32_t slot(uint32_t i) const { return tables_.ring()[placed().value.ring_base + i]; }
  uint32_t origin(uint32_t i) const { return tables_.origin()[placed().value.ring_base + i]; }
  uint32_t tracked() const {
    uint32_t count = 0;
    for (uint32_t i = 0; i < placed().slots(); ++i) count += (slot(i) & SL_SLOT_TRACKED) != 0;
    return count;
  }
  uint32_t a_tracked_slot() const {
    uint32_t i = 0;
    while ((slot(i) & SL_SLOT_TRACKED) == 0) ++i;
    return i;
  }

  // A moment so long after now.
  static Moment after(std::chrono::seconds time) {
    Moment moment = Moment::now();
    moment.time += time;
    moment.ns += static_cast<uint64_t>(std::chrono::nanoseconds(time).count());
    return moment;
  }

  // Reads the table to its end once.
  Settler::Progress read(Moment now) {
    Settler::Progress sum;
    for (;;) {
      auto step = applier_->settle(now);
      EXPECT_TRUE(step.ok());
      sum.settled_slots += step->settled_slots;
      sum.forgotten_flows += step->forgotten_flows;
      ++steps_;
      if (!step->is_reading) return sum;
    }
  }

  void add_flow(uint32_t backend, uint32_t in_slot, uint64_t seen, uint8_t protocol = 6,
                uint32_t closed = 0) {
    sl_flow_key key{};
    key.source[0] = static_cast<uint32_t>(tables_.flows.size()) + 1;
    key.protocol = protocol;
    tables_.flows.push_back({key, {backend, placed().value.id, in_slot, closed, seen}});
  }

  dataplane::FakePort tables_{kLimits.services, kLimits.backends, kLimits.ring_slots};
  test::WatchedPort port_{tables_};
  std::optional<Applier> applier_;
  unsigned steps_ = 0;
};

TEST_F(SettlerTest, DoesNothingBeforeTheGracePeriodIsOver) {
  apply(web(BackendState::kUp));
  apply(web(BackendState::kDrain));
  const uint32_t before = tracked(), i = a_tracked_slot();
  ASSERT_GT(before, 0u);
  EXPECT_EQ(read(after(kGrace - std::chrono::seconds(2))).settled_slots, 0u);
  EXPECT_EQ(tracked(), before);
  EXPECT_EQ(origin(i), id("10.0.0.1"));
}

TEST_F(SettlerTest, MakesSlotsStableThatNoFlowDisagreesWith) {
  apply(web(BackendState::kUp));
  apply(web(BackendState::kDrain));
  const uint32_t before = tracked(), i = a_tracked_slot();
  EXPECT_EQ(read(after(kGrace)).settled_slots, before);
  EXPECT_EQ(tracked(), 0u);
  EXPECT_EQ(slot(i), id("10.0.0.2"));
  EXPECT_EQ(origin(i), id("10.0.0.2"));
}

TEST_F(SettlerTest, KeepsASlotTrackedForAFlowThatIsElsewhere) {
  apply(web(BackendState::kUp));
  apply(web(BackendState::kDrain));
  const uint32_t before = tracked(), i = a_tracked_slot();
  const Moment now = after(kGrace);
  add_flow(id("10.0.0.1"), i, now.ns - kSecond);
  EXPECT_EQ(read(now).settled_slots, before - 1);
  EXPECT_EQ(slot(i), id("10.0.0.2") | SL_SLOT_TRACKED);
  EXPECT_EQ(origin(i), id("10.0.0.2")) << "a packet that the table does not know is a new flow's";
  EXPECT_EQ(tables_.flows.size(), 1u);

  tables_.flows.clear();
  EXPECT_EQ(read(after(kGrace)).settled_slots, 1u);
  EXPECT_EQ(tracked(), 0u);
}

TEST_F(SettlerTest, LetsFlowsThatAreOverHoldNothing) {
  apply(web(BackendState::kUp));
  apply(web(BackendState::kDrain));
  const Moment now = after(kGrace * 2);
  const auto i = a_tracked_slot();
  add_flow(id("10.0.0.1"), i, now.ns - 902 * kSecond);
  add_flow(id("10.0.0.1"), i, now.ns - 12 * kSecond, 6, SL_CLOSED_RST);
  add_flow(id("10.0.0.1"), i, now.ns - 122 * kSecond, 6, SL_CLOSED_FIN);
  EXPECT_EQ(read(now).forgotten_flows, 3u);
  EXPECT_EQ(tracked(), 0u);
}

TEST_F(SettlerTest, KeepsAClosedFlowThatStillSpeaks) {
  apply(web(BackendState::kUp));
  apply(web(BackendState::kDrain));
  const Moment now = after(kGrace);
  add_flow(id("10.0.0.1"), a_tracked_slot(), now.ns - 9 * kSecond, 6, 1);
  read(now);
  EXPECT_EQ(tracked(), 1u);
}

TEST_F(SettlerTest, KeepsAHalfClosedFlowWhoseAnswerMayComeButCountsItNoMore) {
  apply(web(BackendState::kUp));
  apply(web(BackendState::kDrain));
  const Moment now = after(kGrace);
  add_flow(id("10.0.0.1"), a_tracked_slot(), now.ns - 119 * kSecond, 6, SL_CLOSED_FIN);
  EXPECT_EQ(read(now).forgotten_flows, 0u);
  EXPECT_EQ(tracked(), 1u);
  EXPECT_FALSE(applier_->flow_census().of_backend.contains(id("10.0.0.1")));
}

TEST_F(SettlerTest, TakesTheFlowsOfStableSlotsOutOfTheTable) {
  apply(web(BackendState::kUp));
  apply(web(BackendState::kDrain));
  const Moment now = after(kGrace);
  add_flow(id("10.0.0.2"), a_tracked_slot(), now.ns);
  read(now);
  EXPECT_EQ(tracked(), 0u);
  EXPECT_EQ(read(now).forgotten_flows, 1u);
  EXPECT_TRUE(tables_.flows.empty());
}

TEST_F(SettlerTest, ReadsALargeTableInPieces) {
  apply(web(BackendState::kUp));
  apply(web(BackendState::kDrain));
  const Moment now = after(kGrace);
  const uint32_t i = a_tracked_slot();
  for (int n = 0; n < 10'000; ++n) add_flow(id("10.0.0.2"), i, now.ns);
  add_flow(id("10.0.0.1"), i, now.ns);  // the very last one counts, too
  read(now);
  EXPECT_EQ(steps_, 3u);
  EXPECT_EQ(tracked(), 1u);
  EXPECT_EQ(applier_->flow_census().of_backend.at(id("10.0.0.1")), 1u);
  EXPECT_EQ(applier_->flow_census().of_backend.at(id("10.0.0.2")), 10'000u);
}

TEST_F(SettlerTest, LetsAChangeInTheMidstOfAReadingStartTheGracePeriodAnew) {
  apply(web(BackendState::kUp));
  apply(web(BackendState::kDrain));
  const Moment now = after(kGrace);
  for (int n = 0; n < 10'000; ++n) add_flow(id("10.0.0.2"), a_tracked_slot(), now.ns);
  ASSERT_TRUE(applier_->settle(now)->is_reading);
  apply(web(BackendState::kUp));
  const uint32_t before = tracked();
  EXPECT_EQ(read(Moment::now()).settled_slots, 0u);
  EXPECT_EQ(tracked(), before);
}

TEST_F(SettlerTest, OutlivesTheServiceThatItReadsFor) {
  apply(web(BackendState::kUp));
  apply(web(BackendState::kDrain));
  const Moment now = after(kGrace);
  for (int n = 0; n < 10'000; ++n) add_flow(id("10.0.0.2"), a_tracked_slot(), now.ns);
  ASSERT_TRUE(applier_->settle(now)->is_reading);
  apply(make_config({}));
  read(now);
  EXPECT_EQ(read(now).forgotten_flows + tables_.flows.size(), 0u);
}

TEST_F(SettlerTest, LetsTheTableLeadWhereEveryFlowIsTracked) {
  apply(web(BackendState::kUp, kSlots, model::FlowTracking::kTracked));
  apply(web(BackendState::kDrain, kSlots, model::FlowTracking::kTracked));
  const Moment now = after(kGrace);
  add_flow(id("10.0.0.1"), a_tracked_slot(), now.ns);
  read(now);
  EXPECT_EQ(tracked(), 0u);
  EXPECT_EQ(read(now).forgotten_flows, 0u);
  EXPECT_EQ(tables_.flows.size(), 1u);
}

TEST_F(SettlerTest, ForgetsUdpFlowsThatAreIdle) {
  model::Config config = web(BackendState::kUp);
  config.services.front().protocol = model::Protocol::kUdp;
  apply(config);
  const auto& udp = *applier_->placed(ServiceKey::of(config.services.front()));
  const Moment now = Moment::now();
  for (const uint64_t idle : {60, 62}) {
    sl_flow_key key{};
    key.protocol = 17;
    tables_.flows.push_back({key, {1, udp.value.id, 0, 0, now.ns - idle * kSecond}});
  }
  EXPECT_EQ(read(now).forgotten_flows, 1u);
  EXPECT_EQ(applier_->flow_census().entries, 1u);
}

TEST_F(SettlerTest, LeavesTheTableAloneWhenNothingCanBeInIt) {
  apply(web(BackendState::kUp));
  read(Moment::now());
  read(Moment::now());
  const unsigned before = port_.writes;
  EXPECT_FALSE(applier_->settle(after(kGrace))->is_reading);
  EXPECT_EQ(port_.writes, before);
}

TEST_F(SettlerTest, ShrinksABlockWhenItsRingHasShrunkAndSettled) {
  apply(web(BackendState::kUp, 4 * kSlots));
  apply(web(BackendState::kUp));
  EXPECT_EQ(placed().slots(), 4 * kSlots);
  read(after(kGrace));
  EXPECT_EQ(tracked(), 0u);
  EXPECT_EQ(placed().slots(), kSlots);
}

TEST_F(SettlerTest, GivesOriginsTheHashOfTodayWhenTheyAreSetToCurrent) {
  apply(web(BackendState::kUp));
  apply(web(BackendState::kUp, kSlots, model::FlowTracking::kAuto, model::FlowHash::kSourceIp));
  const auto flags = [&] { return tables_.services()->front().value.flags; };
  EXPECT_EQ(flags(), static_cast<uint32_t>(SL_HASH_SOURCE) << SL_SERVICE_HASH_SHIFT);
  EXPECT_EQ(tracked(), kSlots);
  read(after(kGrace));
  EXPECT_EQ(tracked(), 0u);
  EXPECT_EQ(flags(), static_cast<uint32_t>(SL_HASH_SOURCE) << SL_SERVICE_HASH_SHIFT |
                         static_cast<uint32_t>(SL_HASH_SOURCE) << SL_SERVICE_ORIGIN_HASH_SHIFT);
  EXPECT_EQ(placed().value.flags, flags());
}

TEST_F(SettlerTest, IsSafeToStopAnywhere) {
  for (unsigned n = 1;; ++n) {
    SCOPED_TRACE("the agent dies at write " + std::to_string(n));
    SetUp();
    apply(web(BackendState::kUp, 4 * kSlots, model::FlowTracking::kAuto, model::FlowHash::kSourceIp));
    apply(web(BackendState::kDrain));
    const uint32_t i = a_tracked_slot();
    const Moment now = after(kGrace);
    tables_.flows.clear();
    add_flow(id("10.0.0.1"), i, now.ns);
    port_.crash_write = n;
    bool died = false;
    try {
      read(now);
      read(now);
    } catch (const test::Crash&) {
      died = true;
    }
    port_.crash_write = 0;
    SetUp();
    apply(web(BackendState::kDrain));
    EXPECT_NE(slot(i) & SL_SLOT_TRACKED, 0u) << "a live flow is elsewhere";
    ASSERT_EQ(tables_.flows.size(), 1u);
    tables_.flows.clear();
    read(after(kGrace));
    EXPECT_EQ(tracked(), 0u);
    if (!died) return;
  }
}

}  // namespace
}  // namespace sluice::apply
