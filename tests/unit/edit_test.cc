// Changes of the desired state: whole and valid, or an error that says what to do and no trace.
#include "model/edit.h"

#include <gtest/gtest.h>

#include <functional>

#include "random_config.h"

namespace sluice::model {
namespace {

using test::make_backend;
using test::make_service;

const IpAddress kFirst = *IpAddress::parse("10.0.0.1"), kSecond = *IpAddress::parse("10.0.0.2"),
                kNobody = *IpAddress::parse("10.0.0.9");

Config start() {
  Config config = test::make_config(
      {make_service("web", "192.0.2.1:80", {make_backend("10.0.0.1"), make_backend("10.0.0.2", 2)}),
       make_service("dns", "192.0.2.1:53", {make_backend("10.0.0.1")})});
  config.interfaces = {{"eth0", XdpMode::kAuto}};
  return config;
}

TEST(Edit, AddsAServiceAtTheEnd) {
  Config config = start(), expected = start();
  const Service added = make_service("api", "192.0.2.3:443", {make_backend("10.0.0.7")});
  expected.services.push_back(added);
  ASSERT_TRUE(add_service(config, added).ok());
  EXPECT_EQ(config, expected);
}

TEST(Edit, DeletesAServiceAndLeavesTheOthers) {
  Config config = start(), expected = start();
  expected.services.erase(expected.services.begin());
  ASSERT_TRUE(delete_service(config, "web").ok());
  EXPECT_EQ(config, expected);
}

TEST(Edit, AddsABackendAtTheEnd) {
  Config config = start(), expected = start();
  expected.services[0].backends.push_back(make_backend("10.0.0.9", 5));
  ASSERT_TRUE(add_backend(config, "web", make_backend("10.0.0.9", 5)).ok());
  EXPECT_EQ(config, expected);
}

TEST(Edit, DeletesABackendOfOneServiceOnly) {
  Config config = start(), expected = start();
  expected.services[0].backends.erase(expected.services[0].backends.begin());
  ASSERT_TRUE(delete_backend(config, "web", kFirst).ok());
  EXPECT_EQ(config, expected);
  ASSERT_TRUE(delete_backend(config, "web", kSecond).ok()) << "the last one, too";
}

TEST(Edit, ChangesWhatIsNamedAndNothingElse) {
  const MacAddress mac = *MacAddress::parse("02:00:00:00:00:01");
  Config config = start(), expected = start();
  ASSERT_TRUE(change_backend(config, "web", kSecond, {}).ok());
  EXPECT_EQ(config, expected);
  ASSERT_TRUE(change_backend(config, "web", kSecond, {.weight = 7, .state = {}, .next_hop = {}}).ok());
  expected.services[0].backends[1].weight = 7;
  EXPECT_EQ(config, expected);
  ASSERT_TRUE(
      change_backend(config, "web", kSecond, {.weight = {}, .state = BackendState::kDrain, .next_hop = {}})
          .ok());
  expected.services[0].backends[1].state = BackendState::kDrain;
  EXPECT_EQ(config, expected);
  ASSERT_TRUE(
      change_backend(config, "web", kSecond, {.weight = {}, .state = {}, .next_hop = std::optional(mac)})
          .ok());
  expected.services[0].backends[1].next_hop = mac;
  EXPECT_EQ(config, expected);
  const std::optional<MacAddress> back_to_the_default;
  ASSERT_TRUE(
      change_backend(config, "web", kSecond, {.weight = {}, .state = {}, .next_hop = back_to_the_default})
          .ok());
  expected.services[0].backends[1].next_hop.reset();
  EXPECT_EQ(config, expected);
}

TEST(Edit, ChangesWhatIsNamedOfAServiceAndNothingElse) {
  Config config = start(), expected = start();
  ASSERT_TRUE(change_service(config, "web", {}).ok());
  EXPECT_EQ(config, expected);
  ASSERT_TRUE(
      change_service(config, "web", {.hash = FlowHash::kSourceIp, .flows = {}, .ring_slots = {}}).ok());
  expected.services[0].hash = FlowHash::kSourceIp;
  EXPECT_EQ(config, expected);
  ASSERT_TRUE(
      change_service(config, "web", {.hash = {}, .flows = FlowTracking::kTracked, .ring_slots = {}}).ok());
  expected.services[0].flows = FlowTracking::kTracked;
  EXPECT_EQ(config, expected);
  ASSERT_TRUE(change_service(config, "web", {.hash = {}, .flows = {}, .ring_slots = 1024}).ok());
  expected.services[0].ring_slots = 1024;
  EXPECT_EQ(config, expected);
}

BackendChange to_state(BackendState state, std::optional<uint64_t> drain_until = {}) {
  return {.weight = {}, .state = state, .next_hop = {}, .drain_until = drain_until};
}

const Backend& first(const Config& config) {
  return config.services[0].backends[0];
}

TEST(Edit, ADrainCanHaveAnEndAtOnceOrLater) {
  Config config = start();
  ASSERT_TRUE(change_backend(config, "web", kFirst, to_state(BackendState::kDrain, 1767225600)).ok());
  EXPECT_EQ(first(config).drain_until, 1767225600U);
  const BackendChange later{.weight = {}, .state = {}, .next_hop = {}, .drain_until = 1767225660};
  ASSERT_TRUE(change_backend(config, "web", kFirst, later).ok());
  EXPECT_EQ(first(config).drain_until, 1767225660U);
  EXPECT_EQ(first(config).state, BackendState::kDrain);
}

TEST(Edit, AnyChangeOfStateForgetsTheEndOfADrain) {
  for (const auto state : {BackendState::kUp, BackendState::kDrain, BackendState::kDown}) {
    Config config = start();
    ASSERT_TRUE(change_backend(config, "web", kFirst, to_state(BackendState::kDrain, 1767225600)).ok());
    ASSERT_TRUE(change_backend(config, "web", kFirst, to_state(state)).ok());
    EXPECT_EQ(first(config).drain_until, std::nullopt) << to_string(state);
    EXPECT_EQ(first(config).state, state);
  }
}

TEST(Edit, AnotherChangeKeepsTheEndOfADrain) {
  Config config = start();
  ASSERT_TRUE(change_backend(config, "web", kFirst, to_state(BackendState::kDrain, 1767225600)).ok());
  ASSERT_TRUE(change_backend(config, "web", kFirst, {.weight = 7, .state = {}, .next_hop = {}}).ok());
  EXPECT_EQ(config.services[0].backends[0].drain_until, 1767225600U);
}

TEST(Edit, TakesAWeightOfZero) {
  Config config = start();
  ASSERT_TRUE(change_backend(config, "web", kFirst, {.weight = 0, .state = {}, .next_hop = {}}).ok());
  EXPECT_EQ(config.services[0].backends[0].weight, 0u);
}

struct Refused {
  const char* what;
  std::function<Result<>(Config&)> edit;
  ErrorCode code;
  const char* says;
};

class RefusedEdit : public testing::TestWithParam<Refused> {};

TEST_P(RefusedEdit, SaysWhyAndLeavesNoTrace) {
  Config config = start();
  const Result<> result = GetParam().edit(config);
  ASSERT_FALSE(result.ok());
  EXPECT_EQ(result.error().code, GetParam().code);
  EXPECT_NE(result.error().message.find(GetParam().says), std::string::npos) << result.error().message;
  EXPECT_EQ(config, start());
}

INSTANTIATE_TEST_SUITE_P(
    Edit, RefusedEdit,
    testing::Values(
        Refused{"AServicesNameTwice",
                [](Config& c) { return add_service(c, make_service("web", "192.0.2.3:1", {})); },
                ErrorCode::kExists, "sluice service del web"},
        Refused{"AVipTwice", [](Config& c) { return add_service(c, make_service("b", "192.0.2.1:80", {})); },
                ErrorCode::kExists, "192.0.2.1:80"},
        Refused{"AnInvalidService",
                [](Config& c) { return add_service(c, make_service("B!", "192.0.2.3:1", {})); },
                ErrorCode::kInvalid, "not a service name"},
        Refused{"AServiceTooMany",
                [](Config& c) {
                  c.limits.ring_slots = 4096;
                  const auto result = add_service(c, make_service("b", "192.0.2.3:1", {}, 4096));
                  c.limits = {};
                  return result;
                },
                ErrorCode::kNoSpace, "limits.ring_slots"},
        Refused{"DeletingNoService", [](Config& c) { return delete_service(c, "we"); }, ErrorCode::kNotFound,
                "sluice show"},
        Refused{"ChangingNoService", [](Config& c) { return change_service(c, "we", {}); },
                ErrorCode::kNotFound, "no service is named 'we': 'sluice show' lists them"},
        Refused{
            "ARingOfAnOddSize",
            [](Config& c) { return change_service(c, "web", {.hash = {}, .flows = {}, .ring_slots = 1000}); },
            ErrorCode::kInvalid, "write 1024"},
        Refused{"ARingThatDoesNotFit",
                [](Config& c) {
                  c.limits.ring_slots = 4096;
                  const auto result = change_service(c, "web", {.hash = {}, .flows = {}, .ring_slots = 4096});
                  c.limits = {};
                  return result;
                },
                ErrorCode::kNoSpace, "limits.ring_slots"},
        Refused{"TheEndOfADrainOfABackendThatIsUp",
                [](Config& c) {
                  return change_backend(
                      c, "web", kFirst,
                      {.weight = 3, .state = {}, .next_hop = {}, .drain_until = 1767225600});
                },
                ErrorCode::kInvalid, "write state: drain, or remove drain_until"},
        Refused{"TheEndOfADrainOfABackendThatGoesDown",
                [](Config& c) {
                  return change_backend(c, "web", kFirst, to_state(BackendState::kDown, 1767225600));
                },
                ErrorCode::kInvalid, "its state is down"},
        Refused{"ABackendOfNoService",
                [](Config& c) { return add_backend(c, "nope", make_backend("10.0.0.5")); },
                ErrorCode::kNotFound, "nope"},
        Refused{"ABackendTwice", [](Config& c) { return add_backend(c, "web", make_backend("10.0.0.1")); },
                ErrorCode::kExists, "sluice backend set web 10.0.0.1"},
        Refused{"AnInvalidBackend",
                [](Config& c) { return add_backend(c, "web", make_backend("127.0.0.1")); },
                ErrorCode::kInvalid, "loopback"},
        Refused{"ChangingNoBackend", [](Config& c) { return change_backend(c, "web", kNobody, {}); },
                ErrorCode::kNotFound, "10.0.0.9"},
        Refused{"ChangingABackendOfNoService",
                [](Config& c) { return change_backend(c, "nope", kFirst, {}); }, ErrorCode::kNotFound,
                "nope"},
        Refused{"AWeightTooLarge",
                [](Config& c) {
                  return change_backend(c, "web", kFirst, {.weight = 65536, .state = {}, .next_hop = {}});
                },
                ErrorCode::kInvalid, "65536"},
        Refused{"AGroupAddressAsNextHop",
                [](Config& c) {
                  const std::optional<MacAddress> group = *MacAddress::parse("01:00:5e:00:00:01");
                  return change_backend(c, "web", kFirst, {.weight = 3, .state = {}, .next_hop = group});
                },
                ErrorCode::kInvalid, "group address"},
        Refused{"DeletingNoBackend", [](Config& c) { return delete_backend(c, "dns", kSecond); },
                ErrorCode::kNotFound, "10.0.0.2"},
        Refused{"DeletingABackendOfNoService", [](Config& c) { return delete_backend(c, "nope", kFirst); },
                ErrorCode::kNotFound, "nope"}),
    [](const auto& refused) { return refused.param.what; });

}  // namespace
}  // namespace sluice::model
