// The rules of the desired state, each broken on its own: what is refused, with which code, and what the
// operator is told.
#include "model/config.h"

#include <gtest/gtest.h>

#include <algorithm>

namespace sluice::model {
namespace {

IpAddress address(std::string_view text) {
  return *IpAddress::parse(text);
}

Backend backend(std::string_view text, uint32_t weight = 1) {
  Backend made;
  made.address = address(text);
  made.weight = weight;
  return made;
}

Service web() {
  Service service;
  service.name = "web";
  service.vip = *Endpoint::parse("192.0.2.1:80");
  service.backends = {backend("10.0.0.11"), backend("10.0.0.12")};
  return service;
}

Config good() {
  Config config;
  config.interfaces = {Interface{.name = "eth0"}};
  config.services = {web()};
  return config;
}

Service numbered(unsigned number) {
  Service service = web();
  service.name = "s" + std::to_string(number);
  service.vip.port = static_cast<uint16_t>(number + 1);
  return service;
}

::testing::AssertionResult fails(const Result<>& result, ErrorCode code,
                                 std::initializer_list<std::string_view> parts) {
  if (result.ok()) return ::testing::AssertionFailure() << "it passed";
  const Error& error = result.error();
  if (error.code != code) return ::testing::AssertionFailure() << "another code, with: " << error.message;
  for (const auto part : parts)
    if (error.message.find(part) == std::string::npos)
      return ::testing::AssertionFailure() << "no '" << part << "' in: " << error.message;
  return ::testing::AssertionSuccess();
}

template <typename Change>
::testing::AssertionResult fails_with(Change change, ErrorCode code,
                                      std::initializer_list<std::string_view> parts) {
  Config config = good();
  if (const auto before = validate(config); !before)
    return ::testing::AssertionFailure() << before.error().message;
  change(config);
  return fails(validate(config), code, parts);
}

template <typename Change>
bool passes(Change change) {
  Config config = good();
  change(config);
  return validate(config).ok();
}

TEST(Words, ReadBackWhatTheyPrint) {
  for (const auto value : {XdpMode::kAuto, XdpMode::kNative, XdpMode::kGeneric})
    EXPECT_EQ(*parse_xdp_mode(to_string(value)), value);
  for (const auto value : {Protocol::kTcp, Protocol::kUdp})
    EXPECT_EQ(*parse_protocol(to_string(value)), value);
  EXPECT_EQ(*parse_forwarding_mode(to_string(ForwardingMode::kIpip)), ForwardingMode::kIpip);
  for (const auto value : {BackendState::kUp, BackendState::kDrain, BackendState::kDown})
    EXPECT_EQ(*parse_backend_state(to_string(value)), value);
  for (const auto value : {FlowTracking::kAuto, FlowTracking::kTracked, FlowTracking::kStateless})
    EXPECT_EQ(*parse_flow_tracking(to_string(value)), value);
  for (const auto value : {FlowHash::kFiveTuple, FlowHash::kSourceIp, FlowHash::kSourceIpPort})
    EXPECT_EQ(*parse_flow_hash(to_string(value)), value);
}

TEST(Words, OfFlowHashesAreFixed) {
  EXPECT_EQ(*parse_flow_hash("5-tuple"), FlowHash::kFiveTuple);
  EXPECT_EQ(*parse_flow_hash("source-ip"), FlowHash::kSourceIp);
  EXPECT_EQ(*parse_flow_hash("source-ip,port"), FlowHash::kSourceIpPort);
}

TEST(Words, RefuseOthersAndNameTheChoices) {
  EXPECT_EQ(parse_xdp_mode("offload").error().message,
            "'offload' is not an XDP mode: write auto, native or generic");
  EXPECT_EQ(parse_protocol("TCP").error().message, "'TCP' is not a protocol: write tcp or udp");
  EXPECT_EQ(parse_backend_state("").error().message, "'' is not a backend state: write up, drain or down");
  EXPECT_EQ(parse_flow_tracking("none").error().code, ErrorCode::kInvalid);
  EXPECT_EQ(parse_flow_hash("source-ip, port").error().message,
            "'source-ip, port' is not a flow hash: write 5-tuple, source-ip or source-ip,port");
}

TEST(Words, OfLaterVersionsAreUnsupportedNotWrong) {
  for (const char* mode : {"gue", "l2", "nat", "local"})
    EXPECT_EQ(parse_forwarding_mode(mode).error().code, ErrorCode::kUnsupported) << mode;
  EXPECT_EQ(parse_forwarding_mode("dsr").error().code, ErrorCode::kInvalid);
  EXPECT_EQ(parse_protocol("sctp").error().message,
            "'sctp' is a protocol that this version does not support: write tcp or udp");
}

TEST(Find, FindsByNameAndAddress) {
  Config config = good();
  ASSERT_NE(config.find_service("web"), nullptr);
  EXPECT_EQ(config.find_service("dns"), nullptr);
  Service& service = *config.find_service("web");
  ASSERT_NE(service.find_backend(address("10.0.0.12")), nullptr);
  service.find_backend(address("10.0.0.12"))->weight = 7;
  EXPECT_EQ(config.services[0].backends[1].weight, 7U);
  EXPECT_EQ(service.find_backend(address("10.0.0.13")), nullptr);
}

TEST(Validate, AcceptsAnEmptyConfigAndAServiceWithoutBackends) {
  EXPECT_TRUE(validate(Config()).ok());
  EXPECT_TRUE(passes([](Config& c) { c.services[0].backends.clear(); }));
}

TEST(Validate, ServiceNames) {
  for (const std::string& name : std::vector<std::string>{"a", "0", "web-1", "a.b_c-d", std::string(63, 'x')})
    EXPECT_TRUE(passes([&](Config& c) { c.services[0].name = name; })) << name;
  for (const std::string& name : std::vector<std::string>{"", "-", "web-", ".web", "_", "Web", "we b", "w/b",
                                                          "w\nb", "caf\xc3\xa9", std::string(64, 'x')})
    EXPECT_TRUE(fails_with([&](Config& c) { c.services[0].name = name; }, ErrorCode::kInvalid,
                           {"is not a service name: write 1 to 63 of a-z"}))
        << name;
}

TEST(Validate, MessagesAreOneLineOfAsciiWhateverTheName) {
  Service service = web();
  service.name = "a\nb\xff" + std::string(1000, 'x');
  const std::string message = validate(service).error().message;
  EXPECT_TRUE(is_printable(message)) << message;
  EXPECT_LT(message.size(), 300U);
}

TEST(Validate, ServiceNamesAreUnique) {
  EXPECT_TRUE(fails_with(
      [](Config& c) {
        c.services.push_back(web());
        c.services[1].vip.port = 81;
      },
      ErrorCode::kExists, {"two services have the name 'web'"}));
}

TEST(Validate, VipsAreUniqueForEachProtocol) {
  const auto second = [](Config& c) -> Service& {
    c.services.push_back(web());
    c.services[1].name = "other";
    return c.services[1];
  };
  EXPECT_TRUE(fails_with([&](Config& c) { second(c); }, ErrorCode::kExists,
                         {"'web' and 'other'", "192.0.2.1:80 (tcp)", "another address, port or protocol"}));
  EXPECT_TRUE(passes([&](Config& c) { second(c).protocol = Protocol::kUdp; }));
  EXPECT_TRUE(passes([&](Config& c) { second(c).vip.port = 0; }));
}

TEST(Validate, VipsAreAddressesThatClientsCanSendTo) {
  const std::pair<const char*, const char*> cases[] = {
      {"0.0.0.0:80", "unspecified"}, {"0.1.2.3:80", "unspecified"}, {"[::]:80", "unspecified"},
      {"224.0.0.1:80", "multicast"}, {"[ff02::1]:80", "multicast"}, {"255.255.255.255:80", "broadcast"},
      {"127.0.0.1:80", "loopback"},  {"[::1]:80", "loopback"},      {"169.254.1.1:80", "link-local"},
      {"[fe80::1]:80", "link-local"}};
  for (const auto& [vip, fault] : cases)
    EXPECT_TRUE(fails_with([&](Config& c) { c.services[0].vip = *Endpoint::parse(vip); }, ErrorCode::kInvalid,
                           {"service 'web'", vip, fault, "write a unicast address"}))
        << vip;
}

TEST(Validate, BackendsAreMachines) {
  const std::pair<const char*, const char*> cases[] = {
      {"0.0.0.0", "unspecified"},    {"::", "unspecified"},     {"239.1.2.3", "multicast"},
      {"ff0e::1", "multicast"},      {"127.0.0.1", "loopback"}, {"::1", "loopback"},
      {"169.254.1.1", "link-local"}, {"fe80::1", "link-local"}, {"255.255.255.255", "broadcast"}};
  for (const auto& [text, fault] : cases)
    EXPECT_TRUE(fails_with([&](Config& c) { c.services[0].backends[1].address = address(text); },
                           ErrorCode::kInvalid,
                           {"service 'web': backend ", text, fault, "write the address of one machine"}))
        << text;
}

TEST(Validate, ABackendIsNotItsOwnVip) {
  EXPECT_TRUE(fails_with([](Config& c) { c.services[0].backends[0].address = address("192.0.2.1"); },
                         ErrorCode::kInvalid, {"backend 192.0.2.1 is the service's own VIP"}));
  EXPECT_TRUE(fails(validate(backend("192.0.2.1"), web()), ErrorCode::kInvalid, {"own VIP"}));
  EXPECT_TRUE(validate(backend("192.0.2.2"), web()).ok());
}

TEST(Validate, BackendsAreUniqueInTheirService) {
  EXPECT_TRUE(fails_with([](Config& c) { c.services[0].backends[1] = c.services[0].backends[0]; },
                         ErrorCode::kExists, {"backend 10.0.0.11 is listed twice"}));
  EXPECT_TRUE(passes([](Config& c) {
    c.services.push_back(web());
    c.services[1].name = "other";
    c.services[1].vip.port = 81;
  }));
}

TEST(Validate, Weights) {
  for (const uint32_t weight : {0U, 1U, kMaxWeight})
    EXPECT_TRUE(passes([&](Config& c) { c.services[0].backends[0].weight = weight; })) << weight;
  EXPECT_TRUE(fails_with([](Config& c) { c.services[0].backends[0].weight = kMaxWeight + 1; },
                         ErrorCode::kInvalid,
                         {"backend 10.0.0.11: weight 65536 is not between 0 and 65535"}));
}

TEST(Validate, RingsArePowersOfTwoInRange) {
  for (const uint32_t slots : {kMinRingSlots, kDefaultRingSlots, kMaxRingSlots})
    EXPECT_TRUE(passes([&](Config& c) { c.services[0].ring_slots = slots; })) << slots;
  const std::pair<uint32_t, const char*> cases[] = {{0, "write 256"},
                                                    {kMinRingSlots / 2, "write 256"},
                                                    {1000, "write 1024"},
                                                    {kMaxRingSlots - 1, "write 4194304"},
                                                    {kMaxRingSlots * 2, "write 4194304"},
                                                    {UINT32_MAX, "write 4194304"}};
  for (const auto& [slots, advice] : cases)
    EXPECT_TRUE(fails_with([slots = slots](Config& c) { c.services[0].ring_slots = slots; },
                           ErrorCode::kInvalid,
                           {"service 'web'", "not a power of two between 256 and 4194304", advice}))
        << slots;
}

TEST(Validate, ARingHasASlotForEveryBackend) {
  Service service = web();
  service.ring_slots = 256;
  service.backends.clear();
  for (uint32_t i = 0; i < 256; ++i) service.backends.push_back(backend("10.1.0." + std::to_string(i)));
  EXPECT_TRUE(validate(service).ok());
  service.backends.push_back(backend("10.2.0.1", 0));
  EXPECT_TRUE(validate(service).ok()) << "weight 0 needs no slot";
  service.backends.push_back(backend("10.2.0.2"));
  EXPECT_TRUE(fails(validate(service), ErrorCode::kInvalid, {"257 backends", "a ring of 512 or more"}));
}

TEST(Validate, NextHopsAreSingleMachines) {
  EXPECT_TRUE(fails_with([](Config& c) { c.defaults.next_hop = MacAddress{}; }, ErrorCode::kInvalid,
                         {"defaults: next hop 00:00:00:00:00:00 is all zeros", "or auto"}));
  EXPECT_TRUE(fails_with(
      [](Config& c) { c.services[0].backends[1].next_hop = *MacAddress::parse("ff:ff:ff:ff:ff:ff"); },
      ErrorCode::kInvalid,
      {"service 'web': backend 10.0.0.12: next hop ff:ff:ff:ff:ff:ff is a group address"}));
}

TEST(Validate, ADrainEndsOnlyWhereThereIsOne) {
  const auto with = [](BackendState state, uint64_t until) {
    return [=](Config& c) {
      c.services[0].backends[1].state = state;
      c.services[0].backends[1].drain_until = until;
    };
  };
  for (const uint64_t until : {uint64_t{0}, uint64_t{1767225600}, kMaxUnixSeconds})
    EXPECT_TRUE(passes(with(BackendState::kDrain, until))) << until;
  EXPECT_TRUE(fails_with(with(BackendState::kUp, 1767225600), ErrorCode::kInvalid,
                         {"service 'web': backend 10.0.0.12: drain_until is given, but its state is up",
                          "write state: drain, or remove drain_until"}));
  EXPECT_TRUE(
      fails_with(with(BackendState::kDown, 1767225600), ErrorCode::kInvalid, {"but its state is down"}));
  EXPECT_TRUE(fails_with(with(BackendState::kDrain, 1767225600000), ErrorCode::kInvalid,
                         {"drain_until 1767225600000 is after the year 9999", "seconds, as `date +%s`"}));
  Service service = web();
  service.backends[1].drain_until = 1;
  ASSERT_EQ(violations(service).size(), 1U);
  EXPECT_EQ(violations(service)[0].paths,
            (std::vector<std::string>{"backends[1].drain_until", "backends[1].state"}));
}

TEST(Validate, InterfaceNames) {
  for (const char* name : {"eth0", "enp1s0f0np0", "eth0.100", "a", "...", "123456789012345"})
    EXPECT_TRUE(passes([&](Config& c) { c.interfaces[0].name = name; })) << name;
  for (const char* name : {"", ".", "..", "a/b", "a b", "a\tb", "eth0:1", "1234567890123456", "caf\xc3\xa9"})
    EXPECT_TRUE(fails_with([&](Config& c) { c.interfaces[0].name = name; }, ErrorCode::kInvalid,
                           {"is not an interface name", "`ip link`"}))
        << name;
  EXPECT_TRUE(fails_with(
      [](Config& c) {
        c.interfaces.push_back({"eth0", XdpMode::kGeneric});
      },
      ErrorCode::kExists, {"the interface 'eth0' is listed twice"}));
}

TEST(Validate, EncapsulationSources) {
  const auto source4 = [](std::string_view text) {
    return [text](Config& c) { c.encapsulation.source4 = *IpPrefix::parse(text); };
  };
  const auto source6 = [](std::string_view text) {
    return [text](Config& c) { c.encapsulation.source6 = *IpPrefix::parse(text); };
  };
  EXPECT_TRUE(passes(source4("192.0.2.10")));
  EXPECT_TRUE(passes(source4("172.16.0.0/16")));
  EXPECT_TRUE(passes(source6("2001:db8::10")));
  EXPECT_TRUE(passes(source6("2001:db8::/64")));
  EXPECT_TRUE(fails_with(source4("2001:db8::10"), ErrorCode::kInvalid,
                         {"2001:db8::10 is not an IPv4 address", "encapsulation.source6"}));
  EXPECT_TRUE(
      fails_with(source6("192.0.2.10"), ErrorCode::kInvalid, {"not an IPv6", "encapsulation.source4"}));
  EXPECT_TRUE(
      fails_with(source6("2001:db8::/63"), ErrorCode::kInvalid, {"2001:db8::/63 is too wide", "/64"}));
  EXPECT_TRUE(fails_with(source4("128.0.0.0/1"), ErrorCode::kInvalid, {"too wide", "/8"}));
  EXPECT_TRUE(fails_with(source4("127.0.0.1"), ErrorCode::kInvalid, {"loopback", "unicast"}));
  EXPECT_TRUE(fails_with(source4("224.0.0.0/8"), ErrorCode::kInvalid, {"multicast"}));
}

TEST(Validate, Defaults) {
  EXPECT_TRUE(passes([](Config& c) { c.defaults.hash_seed = std::string(255, '~'); }));
  EXPECT_TRUE(fails_with([](Config& c) { c.defaults.hash_seed = std::string(256, 'x'); }, ErrorCode::kInvalid,
                         {"is not a hash seed", "up to 255"}));
  EXPECT_TRUE(fails_with([](Config& c) { c.defaults.hash_seed = "caf\xc3\xa9"; }, ErrorCode::kInvalid,
                         {"'caf?\?' is not a hash seed", "ASCII"}));
  EXPECT_TRUE(passes([](Config& c) { c.defaults.grace_seconds = 86400; }));
  for (const uint32_t seconds : {0U, 86401U})
    EXPECT_TRUE(fails_with([&](Config& c) { c.defaults.grace_seconds = seconds; }, ErrorCode::kInvalid,
                           {"not between 1s and 24h"}));
}

TEST(Validate, LimitsAreInRange) {
  const auto limits = [](Limits wanted) { return [wanted](Config& c) { c.limits = wanted; }; };
  EXPECT_TRUE(passes(limits({.services = 1, .backends = 3, .ring_slots = 1U << 17, .flows = 1024})));
  EXPECT_TRUE(passes(limits(
      {.services = kMaxServices, .backends = kMaxBackends, .ring_slots = 1U << 28, .flows = kMaxFlows})));
  EXPECT_TRUE(fails_with(limits({.services = kMaxServices + 1}), ErrorCode::kInvalid,
                         {"a limit of 1048577 services is not between 1 and 1048576"}));
  EXPECT_TRUE(fails_with(limits({.backends = kMaxBackends + 1}), ErrorCode::kInvalid, {"backends"}));
  EXPECT_TRUE(
      fails_with(limits({.ring_slots = 1U << 29}), ErrorCode::kInvalid, {"ring_slots is not between"}));
  EXPECT_TRUE(fails_with(limits({.ring_slots = 100'000}), ErrorCode::kInvalid,
                         {"100000 ring_slots is not a power of two: write 131072"}));
  EXPECT_TRUE(fails_with(limits({.flows = 1023}), ErrorCode::kInvalid, {"1023 flows", "1024"}));
}

TEST(Validate, ServicesFitInTheirTable) {
  const auto three = [](uint32_t limit) {
    return [limit](Config& c) {
      c.limits.services = limit;
      c.services = {numbered(1), numbered(2), numbered(3)};
    };
  };
  EXPECT_TRUE(passes(three(3)));
  EXPECT_TRUE(fails_with(three(2), ErrorCode::kNoSpace, {"3 services", "raise limits.services to 3"}));
}

TEST(Validate, BackendsFitInTheirTable) {
  EXPECT_TRUE(passes([](Config& c) { c.limits.backends = 2; }));
  EXPECT_TRUE(fails_with([](Config& c) { c.limits.backends = 1; }, ErrorCode::kNoSpace,
                         {"2 backends", "raise limits.backends to 2"}));
}

TEST(Validate, RingsFitInTheirTableBesideASecondCopyOfTheLargest) {
  const auto rings = [](unsigned count) {
    return [count](Config& c) {
      c.limits.ring_slots = 1U << 17;
      c.services.clear();
      for (unsigned i = 0; i < count; ++i) c.services.push_back(numbered(i));
    };
  };
  EXPECT_TRUE(passes(rings(1)));
  EXPECT_TRUE(fails_with(rings(2), ErrorCode::kNoSpace,
                         {"196608 slots, the table has 131072", "raise limits.ring_slots to 262144"}));
}

TEST(Validate, ReportsEveryBrokenRuleOnALineOfItsOwn) {
  const auto result = [] {
    Config config = good();
    config.interfaces[0].name = "a b";
    config.services[0].name = "Web";
    config.services[0].backends[1].weight = 70000;
    return validate(config);
  }();
  EXPECT_TRUE(fails(result, ErrorCode::kInvalid, {"'a b'", "'Web' is not a service name", "weight 70000"}));
  EXPECT_EQ(std::ranges::count(result.error().message, '\n'), 2);
}

TEST(Validate, DiffersInCodeOnlyWhereAllRulesAgree) {
  const auto twice = [](Config& c) {
    c.interfaces.push_back(c.interfaces[0]);
    c.services[0].backends.push_back(c.services[0].backends[0]);
  };
  EXPECT_TRUE(fails_with(twice, ErrorCode::kExists, {"'eth0'", "10.0.0.11"}));
  EXPECT_TRUE(fails_with(
      [&](Config& c) {
        twice(c);
        c.limits.services = 0;
      },
      ErrorCode::kInvalid, {"'eth0'", "services"}));
}

TEST(Violations, NameThePathsOfTheValuesThatBreakTheRule) {
  Config config = good();
  config.services.push_back(web());
  config.services[1].name = "other";
  const auto found = violations(config);
  ASSERT_EQ(found.size(), 1U);
  EXPECT_EQ(found[0].paths, (std::vector<std::string>{"services[1].vip", "services[0].vip",
                                                      "services[1].protocol", "services[0].protocol"}));
  Service service = web();
  service.backends[1].weight = 70000;
  ASSERT_EQ(violations(service).size(), 1U);
  EXPECT_EQ(violations(service)[0].paths.front(), "backends[1].weight");
}

TEST(Merge, StopsAfterAHundred) {
  const Error error = merge(std::vector<Error>(1000, Error{ErrorCode::kNoSpace, "full"}));
  EXPECT_EQ(error.code, ErrorCode::kNoSpace);
  EXPECT_EQ(std::ranges::count(error.message, '\n'), 100);
  EXPECT_TRUE(error.message.ends_with("\nand more errors"));
}

}  // namespace
}  // namespace sluice::model
