// Changes through all of it: desired state, disk and tables are where they were, or where they should be.
#include "agent/controller.h"

#include <gtest/gtest.h>
#include <sched.h>

#include <cstdio>
#include <filesystem>

#include "expect_tables.h"
#include "random_config.h"
#include "scripted_agent.h"
#include "watched_port.h"

namespace sluice::agent {
namespace {

using test::make_backend;
using test::make_config;
using test::make_service;

constexpr model::Limits kLimits{.services = 8, .backends = 32, .ring_slots = 8192, .flows = 1024};

model::Config start_config() {
  model::Config config =
      make_config({make_service("web", "192.0.2.1:80", {make_backend("10.0.0.1"), make_backend("10.0.0.2")}),
                   make_service("dns", "192.0.2.1:53", {make_backend("10.0.0.1")})});
  config.limits = kLimits;
  return config;
}

Result<> add_third(model::Config& config) {
  return model::add_backend(config, "web", make_backend("10.0.0.3"));
}
Result<> replace_dns(model::Config& config) {
  SLUICE_TRY(model::delete_backend(config, "web", *IpAddress::parse("10.0.0.1")));
  SLUICE_TRY(model::delete_service(config, "dns"));
  return model::add_service(config, make_service("api", "192.0.2.1:443", {make_backend("10.0.0.4")}));
}

// In a network namespace of its own, where one interface leads to 10.0.0.0/24 and nothing else to
// anywhere.
class ControllerTest : public testing::Test {
 protected:
  void SetUp() override {
    const int own = ::geteuid() == 0 ? CLONE_NEWNET : CLONE_NEWUSER | CLONE_NEWNET;
    if (::unshare(own) != 0) GTEST_SKIP() << "cannot make a network namespace";
    FILE* ip = ::popen("ip -batch -", "w");
    ASSERT_NE(ip, nullptr);
    std::fputs(
        "link add near type veth peer name far\naddr add 10.0.0.254/24 dev near\nlink set near up\nlink set "
        "far up\n",
        ip);
    ASSERT_EQ(::pclose(ip), 0);
    auto routes = kernel::RouteSocket::open();
    ASSERT_TRUE(routes.ok()) << routes.error().message;
    routes_.emplace(std::move(routes).value());
    paths_.emplace(*routes_);
    auto store = StateStore::open(directory());
    ASSERT_TRUE(store.ok());
    store_.emplace(std::move(store).value());
    start(start_config());
  }

  std::string directory() const { return directory_.path() + "/state"; }

  void start(const model::Config& config) {
    auto controller = Controller::start(port_, *store_, *paths_, {config, 7, "digest"});
    ASSERT_TRUE(controller.ok()) << controller.error().message;
    controller_.emplace(std::move(controller).value());
  }

  // Desired state, disk and tables agree.
  void expect_all_at(const model::Config& config, uint64_t revision) {
    EXPECT_EQ(controller_->wanted(), config);
    EXPECT_EQ(controller_->revision(), revision);
    const auto loaded = store_->load();
    ASSERT_TRUE(loaded.ok()) << loaded.error().message;
    EXPECT_EQ(loaded->state->config, config);
    EXPECT_EQ(loaded->state->revision, revision);
    EXPECT_EQ(loaded->state->file_digest, "digest");
    expect_tables(port_, plan::recover_layout(port_, kLimits.services)->layout, config, kLimits.services);
  }

  static model::Config edited(Result<> (*edit)(model::Config&)) {
    model::Config config = start_config();
    EXPECT_TRUE(edit(config).ok());
    return config;
  }

  test::TemporaryDirectory directory_;
  dataplane::FakePort tables_{kLimits.services, kLimits.backends, kLimits.ring_slots};
  test::WatchedPort port_{tables_};
  std::optional<kernel::RouteSocket> routes_;
  std::optional<PathTable> paths_;
  std::optional<StateStore> store_;
  std::optional<Controller> controller_;
};

TEST_F(ControllerTest, StartsFromAStateAndSavesIt) {
  expect_all_at(start_config(), 7);
}

TEST_F(ControllerTest, MakesAChangeTrueEverywhere) {
  const auto changed = controller_->change(add_third);
  ASSERT_TRUE(changed.ok()) << changed.error().message;
  EXPECT_EQ(changed->revision, 8u);
  EXPECT_EQ(changed->slots, 256u);
  EXPECT_GT(changed->moved, 80u);
  EXPECT_EQ(changed->tracked, changed->moved);
  expect_all_at(edited(add_third), 8);
}

TEST_F(ControllerTest, AddsUpWhatAChangeMeansToSeveralServices) {
  const auto changed = controller_->change(replace_dns);
  ASSERT_TRUE(changed.ok());
  EXPECT_EQ(changed->slots, 3 * 256u) << "web, dns and api";
  expect_all_at(edited(replace_dns), 8);
}

TEST_F(ControllerTest, DoesNothingForAChangeThatChangesNothing) {
  const unsigned writes = port_.writes;
  const auto saved = std::filesystem::last_write_time(directory() + "/state.json");
  const auto changed = controller_->change([](model::Config& config) {
    return model::change_backend(config, "web", *IpAddress::parse("10.0.0.1"),
                                 {.weight = 1, .state = model::BackendState::kUp, .next_hop = {}});
  });
  ASSERT_TRUE(changed.ok());
  EXPECT_EQ(*changed, (api::Changed{7, 0, 0, 0}));
  EXPECT_EQ(port_.writes, writes);
  EXPECT_EQ(std::filesystem::last_write_time(directory() + "/state.json"), saved);
  expect_all_at(start_config(), 7);
}

TEST_F(ControllerTest, RefusesAnEditWithoutATrace) {
  const unsigned writes = port_.writes;
  const auto changed =
      controller_->change([](model::Config& config) { return model::delete_service(config, "nope"); });
  ASSERT_FALSE(changed.ok());
  EXPECT_EQ(changed.error().code, ErrorCode::kNotFound);
  EXPECT_EQ(port_.writes, writes);
  expect_all_at(start_config(), 7);
}

// The model's limits let through what the tables have no room for while the old is still there.
TEST_F(ControllerTest, SavesNothingThatDoesNotFit) {
  const unsigned writes = port_.writes;
  const auto changed = controller_->change([](model::Config& config) {
    for (auto& service : config.services) service.ring_slots = 4096;
    return ok();
  });
  ASSERT_FALSE(changed.ok());
  EXPECT_EQ(changed.error().code, ErrorCode::kNoSpace);
  EXPECT_EQ(port_.writes, writes);
  expect_all_at(start_config(), 7);
}

TEST_F(ControllerTest, ChangesNoTableWhenTheStateCannotBeSaved) {
  const unsigned writes = port_.writes;
  std::filesystem::rename(directory(), directory() + ".away");
  const auto changed = controller_->change(add_third);
  std::filesystem::rename(directory() + ".away", directory());
  ASSERT_FALSE(changed.ok());
  EXPECT_EQ(port_.writes, writes);
  expect_all_at(start_config(), 7);
  ASSERT_TRUE(controller_->change(add_third).ok());
  expect_all_at(edited(add_third), 8);
}

TEST_F(ControllerTest, GoesBackWhicheverWriteFails) {
  unsigned failures = 0;
  for (const auto edit : {add_third, replace_dns})
    for (unsigned n = 1; !HasFailure(); ++n) {
      SCOPED_TRACE("write " + std::to_string(n) + " fails");
      port_.faults = 0;
      port_.fail_write = n;
      const auto changed = controller_->change(edit);
      port_.fail_write = 0;
      if (changed.ok()) {
        const uint64_t revision = controller_->revision();
        expect_all_at(edited(edit), revision);
        start(start_config());
        if (port_.faults == 0) break;
        continue;
      }
      ++failures;
      EXPECT_EQ(changed.error().message.find("going back failed"), std::string::npos)
          << changed.error().message;
      expect_all_at(start_config(), 7);
    }
  EXPECT_GT(failures, 10u);
}

TEST_F(ControllerTest, SaysWhatItCouldNotTakeBackAndGoesOnWhenItCan) {
  for (unsigned n = 1; !HasFailure(); ++n) {
    SCOPED_TRACE("all writes from " + std::to_string(n) + " on fail");
    port_.faults = 0;
    port_.fail_write = n;
    port_.fault_lasts = true;
    const auto changed = controller_->change(replace_dns);
    if (port_.faults == 0) break;
    if (!changed.ok()) {
      EXPECT_NE(changed.error().message.find("going back failed"), std::string::npos)
          << changed.error().message;
      EXPECT_EQ(controller_->wanted(), start_config());
      EXPECT_EQ(store_->load()->state->config, start_config());
    }
    (void)controller_->refresh_paths();
    (void)controller_->services();
    controller_->sample_rates();
    port_.fail_write = 0;
    if (!changed.ok()) {
      ASSERT_TRUE(controller_->change(replace_dns).ok());
    }
    EXPECT_TRUE(controller_->refresh_paths().ok());
    EXPECT_TRUE(controller_->services().ok());
    expect_all_at(edited(replace_dns), 8);
    start(start_config());
  }
}

TEST_F(ControllerTest, TakesOverWhatAFormerAgentLeft) {
  ASSERT_TRUE(controller_->change(add_third).ok());
  controller_.reset();
  start(edited(replace_dns));
  expect_all_at(edited(replace_dns), 7);
}

TEST_F(ControllerTest, FailsToStartWhenTheStateCannotBeSaved) {
  std::filesystem::rename(directory(), directory() + ".away");
  EXPECT_FALSE(Controller::start(port_, *store_, *paths_, {start_config(), 0, ""}).ok());
}

// ---- what it shows ----

TEST_F(ControllerTest, ShowsWhereNewFlowsGoAndWhichOldOnesAreKept) {
  ASSERT_TRUE(controller_
                  ->change([](model::Config& config) {
                    return model::change_backend(
                        config, "web", *IpAddress::parse("10.0.0.1"),
                        {.weight = {}, .state = model::BackendState::kDrain, .next_hop = {}});
                  })
                  .ok());
  const auto services = controller_->services();
  ASSERT_TRUE(services.ok());
  ASSERT_EQ(services->size(), 2u);
  const api::ServiceStatus& web = services->at(0);
  EXPECT_EQ(web.wanted.name, "web");
  EXPECT_TRUE(web.wanted.backends.empty());
  EXPECT_EQ(web.tracked_slots, 128u);
  ASSERT_EQ(web.backends.size(), 2u);
  EXPECT_EQ(web.backends[0].wanted.state, model::BackendState::kDrain);
  EXPECT_EQ(web.backends[0].slots, 0u);
  EXPECT_EQ(web.backends[1].slots, 256u);
  EXPECT_NE(web.backends[0].id, web.backends[1].id);
}

TEST_F(ControllerTest, ShowsWhyABackendGetsNoPackets) {
  const auto detail = [&](std::string_view backend, const char* next_hop) {
    EXPECT_TRUE(controller_
                    ->change([&](model::Config& config) {
                      model::Backend added = make_backend(backend);
                      added.next_hop = *MacAddress::parse(next_hop);
                      return model::add_backend(config, "dns", added);
                    })
                    .ok());
    const auto services = controller_->services();
    return services->at(1).backends.back();
  };
  const api::BackendStatus reached = detail("10.0.0.9", "02:00:00:00:00:09");
  EXPECT_EQ(reached.path, api::PathState::kResolved) << reached.path_detail;
  EXPECT_NE(reached.path_detail.find("near"), std::string::npos) << reached.path_detail;
  const api::BackendStatus unreachable = detail("198.51.100.1", "02:00:00:00:00:09");
  EXPECT_EQ(unreachable.path, api::PathState::kUnresolved);
  EXPECT_NE(unreachable.path_detail.find("198.51.100.1"), std::string::npos) << unreachable.path_detail;
}

TEST_F(ControllerTest, NamesEveryReasonThatTheProgramCounts) {
  const auto reasons = controller_->reasons();
  ASSERT_TRUE(reasons.ok());
  EXPECT_EQ(reasons->size(), SL_REASON_COUNT - 1u) << "all but SL_OK";
  std::set<std::string> names;
  int fate_before = 0;
  for (const auto& reason : *reasons) {
    EXPECT_TRUE(names.insert(reason.name).second) << reason.name;
    EXPECT_FALSE(reason.text.empty());
    const int fate = reason.drops ? 1 : reason.answers ? 2 : 0;
    EXPECT_GE(fate, fate_before) << "to pass, to drop, answers: in this order";
    fate_before = fate;
  }
  EXPECT_EQ(reasons->front().name, "not_ip");
  EXPECT_FALSE(reasons->front().drops);
  EXPECT_EQ(fate_before, 2);
}

}  // namespace
}  // namespace sluice::agent
