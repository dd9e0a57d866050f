// The schema in both spellings: what goes out comes back, what is wrong is refused with its path and place,
// and no input whatever makes it crash or throw.
#include "model/codec.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <string>

namespace sluice::model {
namespace {

using nlohmann::json;

constexpr std::string_view kYaml = R"(# an edge node
version: 1
interfaces:
  - {name: eth0, xdp: native}
  - eth1
encapsulation:
  source4: 172.16.0.0/16
  source6: 2001:db8::10
defaults:
  next_hop: auto
  hash_seed: "3f9c"
  grace: 90s
limits: {services: 100, backends: 1000, ring_slots: 1048576, flows: 2048}
services:
  - name: web
    vip: 192.0.2.1:80
    protocol: tcp
    mode: ipip
    hash: source-ip,port
    flows: tracked
    ring: 4096
    backends:
      - {address: 10.0.0.11, weight: 2}
      - {address: "2001:db8:b::12", state: drain, next_hop: "02:00:5e:00:53:01"}
      - {address: 10.0.0.13, state: drain, drain_until: 1767225600}
      - {address: 10.0.0.14, state: down}
  - name: dns
    vip: "[2001:db8::53]:*"
    protocol: udp
    flows: stateless
)";

template <typename T>
std::string message(const Result<T>& result) {
  return result.ok() ? "it passed" : result.error().message;
}

// Whether `wanted` is part of `message`; if not, the failure shows all of it.
::testing::AssertionResult says(const std::string& message, std::string_view wanted) {
  if (message.find(wanted) != std::string::npos) return ::testing::AssertionSuccess();
  return ::testing::AssertionFailure() << "no '" << wanted << "' in:\n" << message;
}

std::string yaml_message(std::string_view text) {
  return message(parse_yaml(text, "f.yaml"));
}
std::string json_message(std::string_view text) {
  return message(parse_json(text, "f.json"));
}

json good_service() {
  return {{"name", "web"}, {"vip", "192.0.2.1:80"}, {"backends", json::array({{{"address", "10.0.0.11"}}})}};
}

json document(const json& service) {
  return {{"version", 1}, {"services", json::array({service})}};
}

// ---- what is right ----

TEST(Yaml, ReadsEveryKey) {
  const auto parsed = parse_yaml(kYaml, "f.yaml");
  ASSERT_TRUE(parsed.ok()) << message(parsed);
  const Config& config = parsed->config;
  EXPECT_TRUE(parsed->declares_services);
  ASSERT_EQ(config.interfaces.size(), 2U);
  EXPECT_EQ(config.interfaces[0], (Interface{"eth0", XdpMode::kNative}));
  EXPECT_EQ(config.interfaces[1], (Interface{"eth1", XdpMode::kAuto}));
  EXPECT_EQ(config.encapsulation.source4, *IpPrefix::parse("172.16.0.0/16"));
  EXPECT_EQ(config.encapsulation.source6, *IpPrefix::parse("2001:db8::10"));
  EXPECT_EQ(config.defaults.next_hop, std::nullopt);
  EXPECT_EQ(config.defaults.hash_seed, "3f9c");
  EXPECT_EQ(config.defaults.grace_seconds, 90U);
  EXPECT_EQ(config.limits, (Limits{100, 1000, 1048576, 2048}));
  ASSERT_EQ(config.services.size(), 2U);
  const Service& web = config.services[0];
  EXPECT_EQ(web.name, "web");
  EXPECT_EQ(web.vip, *Endpoint::parse("192.0.2.1:80"));
  EXPECT_EQ(web.hash, FlowHash::kSourceIpPort);
  EXPECT_EQ(web.flows, FlowTracking::kTracked);
  EXPECT_EQ(web.ring_slots, 4096U);
  ASSERT_EQ(web.backends.size(), 4U);
  EXPECT_EQ(web.backends[0].weight, 2U);
  EXPECT_EQ(web.backends[1].state, BackendState::kDrain);
  EXPECT_EQ(web.backends[1].drain_until, std::nullopt);
  EXPECT_EQ(web.backends[1].next_hop, *MacAddress::parse("02:00:5e:00:53:01"));
  EXPECT_EQ(web.backends[2].state, BackendState::kDrain);
  EXPECT_EQ(web.backends[2].drain_until, 1767225600U);
  EXPECT_EQ(web.backends[3].state, BackendState::kDown);
  EXPECT_EQ(config.services[1].hash, FlowHash::kFiveTuple);
  EXPECT_EQ(config.services[1].protocol, Protocol::kUdp);
  EXPECT_EQ(config.services[1].vip.port, 0);
}

TEST(Yaml, TwoLinesAreAConfig) {
  const auto parsed = parse_yaml("version: 1\ninterfaces: [eth0]\n", "f.yaml");
  ASSERT_TRUE(parsed.ok()) << message(parsed);
  EXPECT_EQ(parsed->config.interfaces, std::vector{Interface{"eth0"}});
}

TEST(Yaml, TellsNoServicesFromAnEmptyListOfThem) {
  EXPECT_FALSE(parse_yaml("version: 1", "f")->declares_services);
  EXPECT_TRUE(parse_yaml("version: 1\nservices: []", "f")->declares_services);
  EXPECT_FALSE(parse_json(R"({"version": 1})", "f")->declares_services);
  EXPECT_TRUE(decode_document({{"version", 1}, {"services", json::array()}})->declares_services);
}

TEST(Yaml, TakesAByteOrderMarkCrLfAndDocumentMarkers) {
  EXPECT_TRUE(parse_yaml("\xEF\xBB\xBFversion: 1\r\ninterfaces: [eth0]\r\n", "f").ok());
  EXPECT_TRUE(parse_yaml("%YAML 1.2\n---\nversion: 1\n...\n", "f").ok());
}

TEST(Yaml, UnquotedIpv6AddressesWorkWhereYamlLetsThem) {
  const auto parsed = parse_yaml(
      "version: 1\nservices:\n- name: a\n  vip: 192.0.2.1:*\n  backends: [{address: 2001:db8::1, weight: "
      "0}]\n",
      "f");
  ASSERT_TRUE(parsed.ok()) << message(parsed);
  EXPECT_EQ(parsed->config.services[0].backends[0].address, *IpAddress::parse("2001:db8::1"));
}

TEST(Json, ReadsTheSameAsYaml) {
  const auto yaml = parse_yaml(kYaml, "f.yaml");
  ASSERT_TRUE(yaml.ok());
  const auto again = parse_json(encode(yaml->config).dump(2), "f.json");
  ASSERT_TRUE(again.ok()) << message(again);
  EXPECT_EQ(again->config, yaml->config);
}

TEST(Encode, LeavesDefaultsOut) {
  EXPECT_EQ(encode(Config()).dump(), R"({"services":[],"version":1})");
  Config config = *decode(document(good_service()));
  config.interfaces = {Interface{"eth0"}};
  EXPECT_EQ(encode(config), json::parse(R"({"version": 1, "interfaces": [{"name": "eth0"}], "services": [
    {"name": "web", "vip": "192.0.2.1:80", "protocol": "tcp", "backends": [{"address": "10.0.0.11"}]}]})"));
}

TEST(Encode, SpellsTheHashAndTheEndOfADrain) {
  Config config = *decode(document(good_service()));
  config.services[0].hash = FlowHash::kSourceIp;
  EXPECT_EQ(encode(config.services[0])["hash"], "source-ip");
  Backend& backend = config.services[0].backends[0];
  backend.state = BackendState::kDrain;
  backend.drain_until = 1767225600;
  EXPECT_EQ(encode(backend),
            json::parse(R"({"address": "10.0.0.11", "state": "drain", "drain_until": 1767225600})"));
}

TEST(Duration, ReadsBackWhatItPrints) {
  const std::pair<const char*, uint32_t> cases[] = {
      {"1s", 1}, {"90s", 90}, {"15m", 900}, {"1h", 3600}, {"24h", 86400}, {"61m", 3660}, {"86399s", 86399}};
  for (const auto& [text, seconds] : cases) {
    ASSERT_TRUE(parse_duration_seconds(text).ok()) << text;
    EXPECT_EQ(*parse_duration_seconds(text), seconds);
    EXPECT_EQ(duration_to_string(seconds), text);
  }
  EXPECT_EQ(*parse_duration_seconds("60s"), 60U);
  for (const char* text : {"", "s", "15", "0s", "25h", "86401s", "1d", "-1s", "+1s", "1.5h", "1h30m", " 1s",
                           "1s ", "1 s", "4294967297s", "4294967295h"})
    EXPECT_FALSE(parse_duration_seconds(text).ok()) << text;
}

class RandomConfig {
 public:
  explicit RandomConfig(unsigned seed) : random_(seed) {}

  Config make() {
    Config config;
    for (unsigned i = 0; i < below(3); ++i)
      config.interfaces.push_back(
          {fmt::format("eth{}", i), pick({XdpMode::kAuto, XdpMode::kNative, XdpMode::kGeneric})});
    if (flip()) config.encapsulation.source4 = *IpPrefix::parse(flip() ? "192.0.2.10" : "172.16.0.0/12");
    if (flip()) config.encapsulation.source6 = *IpPrefix::parse(flip() ? "2001:db8::10" : "2001:db8:1::/64");
    if (flip()) config.defaults.next_hop = mac();
    for (unsigned i = 0; flip() && i < 20; ++i)
      config.defaults.hash_seed.push_back(static_cast<char>(' ' + below('~' - ' ' + 1)));
    if (flip()) config.defaults.grace_seconds = 1 + below(86400);
    config.limits = {100 + below(1000), 500 + below(1000), 1U << (23 + below(6)), 1024 + below(1000)};
    for (unsigned i = 0; i < below(8); ++i) config.services.push_back(service(i));
    return config;
  }

 private:
  uint32_t below(uint32_t bound) { return static_cast<uint32_t>(random_() % bound); }
  bool flip() { return below(2) == 0; }
  template <typename T>
  T pick(std::initializer_list<T> choices) {
    return choices.begin()[below(static_cast<uint32_t>(choices.size()))];
  }
  MacAddress mac() {
    MacAddress made{{2, 0, 0, 0, 0, 0}};
    for (size_t i = 1; i < 6; ++i) made.bytes[i] = static_cast<uint8_t>(random_());
    return made;
  }
  IpAddress address(unsigned number) {
    return *IpAddress::parse(flip() ? fmt::format("10.0.{}.{}", number, below(256))
                                    : fmt::format("2001:db8:{:x}::{:x}", number, below(65536)));
  }
  Service service(unsigned number) {
    Service made;
    made.name = fmt::format("s{}{}", number, pick({"", "-a", ".b", "_c"}));
    made.vip = {address(200 + number), static_cast<uint16_t>(below(65536))};
    made.protocol = pick({Protocol::kTcp, Protocol::kUdp});
    made.hash = pick({FlowHash::kFiveTuple, FlowHash::kSourceIp, FlowHash::kSourceIpPort});
    made.flows = pick({FlowTracking::kAuto, FlowTracking::kTracked, FlowTracking::kStateless});
    made.ring_slots = kMinRingSlots << below(10);
    for (unsigned i = 0; i < below(12); ++i) {
      Backend backend;
      backend.address = address(i);
      backend.weight = flip() ? 1 : below(kMaxWeight + 1);
      backend.state = pick({BackendState::kUp, BackendState::kDrain, BackendState::kDown});
      if (backend.state == BackendState::kDrain && flip())
        backend.drain_until = flip() ? below(UINT32_MAX) : kMaxUnixSeconds;
      if (flip()) backend.next_hop = mac();
      made.backends.push_back(backend);
    }
    return made;
  }

  std::mt19937 random_;
};

TEST(RoundTrip, RandomConfigsComeBackAsTheyWere) {
  for (unsigned seed = 0; seed < 500; ++seed) {
    const Config config = RandomConfig(seed).make();
    const json encoded = encode(config);
    const auto decoded = decode(encoded);
    ASSERT_TRUE(decoded.ok()) << message(decoded) << "\n" << encoded.dump(1);
    ASSERT_EQ(*decoded, config) << encoded.dump(1);
    ASSERT_EQ(encode(*decoded), encoded);
    // JSON is YAML too.
    const auto as_yaml = parse_yaml(encoded.dump(1), "f.yaml");
    ASSERT_TRUE(as_yaml.ok()) << message(as_yaml) << "\n" << encoded.dump(1);
    ASSERT_EQ(as_yaml->config, config);
    for (const Service& service : config.services) {
      ASSERT_EQ(*decode_service(encode(service)), service);
      for (const Backend& backend : service.backends) ASSERT_EQ(*decode_backend(encode(backend)), backend);
    }
  }
}

// ---- what is wrong ----

TEST(Decode, SaysWhereAndWhy) {
  struct Case {
    json patch;  // merged into a good service
    const char* expected;
  };
  const Case cases[] = {
      {{{"ring", 1000}}, "services[0].ring: service 'web': a ring of 1000 slots is not a power of two"},
      {{{"ring", 128}}, "services[0].ring: 128 is not between 256 and 4194304"},
      {{{"ring", -1}}, "services[0].ring: -1 is not between 256"},
      {{{"ring", 4096.5}}, "services[0].ring: 4096.5 is not a whole number"},
      {{{"ring", "4096"}}, "services[0].ring: '4096' is not a whole number"},
      {{{"ring", true}}, "services[0].ring: true is not a whole number"},
      {{{"ring", json::array()}}, "services[0].ring: a list stands where a number between"},
      {{{"vip", "192.0.2.1"}}, "services[0].vip: '192.0.2.1' is not address:port"},
      {{{"vip", "127.0.0.1:80"}},
       "services[0].vip: service 'web': its VIP 127.0.0.1:80 is a loopback address"},
      {{{"vip", 80}}, "services[0].vip: 80 is not text: put it in quotes"},
      {{{"vip", json::array({"2001:db8::1"})}}, "an address in brackets needs quotes"},
      {{{"vip", json::object()}}, "services[0].vip: a map stands where text is expected"},
      {{{"name", "Web"}}, "services[0].name: 'Web' is not a service name"},
      {{{"name", "a\nb"}}, "services[0].name: 'a?b' has characters other than printable ASCII"},
      {{{"name", std::string(300, 'x')}}, "is 300 bytes long: write 255 or fewer"},
      {{{"protocol", "icmp"}}, "services[0].protocol: 'icmp' is not a protocol: write tcp or udp"},
      {{{"mode", "tunnel"}}, "services[0].mode: 'tunnel' is not a forwarding mode: write ipip"},
      {{{"flows", "all"}}, "services[0].flows: 'all' is not a way of flow tracking"},
      {{{"hash", "source"}}, "services[0].hash: 'source' is not a flow hash: write 5-tuple, source-ip or"},
      {{{"hash", json::array({"source-ip", "port"})}}, "services[0].hash: a list stands where text"},
      {{{"backends", "10.0.0.1"}}, "services[0].backends: a list is expected here"},
      {{{"backends", {"10.0.0.1"}}}, "services[0].backends[0]: a map of keys is expected here"},
      {{{"backends", {json::object()}}},
       "services[0].backends[0].address: missing: write one, such as address:"},
      {{{"backend", json::array()}},
       "services[0].backend: unknown key: the keys here are name, vip, protocol"},
  };
  for (const Case& wrong : cases) {
    json service = good_service();
    service.update(wrong.patch);
    const auto decoded = decode(document(service));
    ASSERT_FALSE(decoded.ok()) << wrong.expected;
    EXPECT_TRUE(says(decoded.error().message, wrong.expected));
    EXPECT_EQ(decoded.error().code, ErrorCode::kInvalid) << decoded.error().message;
    EXPECT_EQ(std::ranges::count(decoded.error().message, '\n'), 0) << "one cause, one line:\n"
                                                                    << message(decoded);
  }
}

TEST(Decode, SaysWhereAndWhyOfABackend) {
  const std::pair<json, const char*> cases[] = {
      {{{"weight", 70000}}, "services[0].backends[0].weight: 70000 is not between 0 and 65535"},
      {{{"weight", 1e30}}, "services[0].backends[0].weight: 1e+30 is not a whole number"},
      {{{"state", "off"}},
       "services[0].backends[0].state: 'off' is not a backend state: write up, drain or down"},
      {{{"drain_until", 1767225600}},
       "services[0].backends[0].drain_until: service 'web': backend 10.0.0.11: drain_until is given, but"},
      {{{"state", "drain"}, {"drain_until", -1}},
       "services[0].backends[0].drain_until: -1 is not between 0 and 253402300799"},
      {{{"state", "drain"}, {"drain_until", 1767225600000}}, "1767225600000 is not between 0 and"},
      {{{"state", "drain"}, {"drain_until", "10m"}}, "drain_until: '10m' is not a whole number between 0"},
      {{{"state", "drain"}, {"drain_until", 1.5}}, "drain_until: 1.5 is not a whole number"},
      {{{"state", "drain"}, {"drain_until", nullptr}}, "drain_until: no value is given: write a number"},
      {{{"next_hop", "gateway"}}, "services[0].backends[0].next_hop: a next hop is auto or a MAC address"},
      {{{"next_hop", "ff:ff:ff:ff:ff:ff"}},
       "services[0].backends[0].next_hop: service 'web': backend 10.0.0.11"},
      {{{"address", "10.0.0"}}, "services[0].backends[0].address: '10.0.0' is not an IP address"},
      {{{"address", "10.0.0.0/24"}}, "services[0].backends[0].address: '10.0.0.0/24' is not an IP address"},
      {{{"address", "192.0.2.1"}},
       "services[0].backends[0].address: service 'web': backend 192.0.2.1 is the service's"},
      {{{"adress", "10.0.0.1"}},
       "unknown key: the keys here are address, weight, state, next_hop, drain_until"},
  };
  for (const auto& [patch, expected] : cases) {
    json service = good_service();
    service["backends"][0].update(patch);
    EXPECT_TRUE(says(message(decode(document(service))), expected));
  }
}

TEST(Decode, DoesNotBlameTheEndOfADrainForAStateThatCannotBeRead) {
  json service = good_service();
  service["backends"][0].update({{"state", "dran"}, {"drain_until", 1767225600}});
  const std::string said = message(decode(document(service)));
  EXPECT_TRUE(says(said, "state: 'dran' is not a backend state"));
  EXPECT_EQ(std::ranges::count(said, '\n'), 0) << said;
}

TEST(Decode, SaysWhereAndWhyOfTheRest) {
  const std::pair<json, const char*> cases[] = {
      {{{"version", 2}}, "version: this is not a version of the schema that can be read: write version: 1"},
      {{{"version", "1"}}, "version: this is not"},
      {{{"version", 1.0}}, "version: this is not"},
      {{{"interfaces", "eth0"}}, "interfaces: a list is expected here"},
      {{{"interfaces", {"eth0", "eth0"}}}, "interfaces[1].name: the interface 'eth0' is listed twice"},
      {{{"interfaces", {"a b"}}}, "interfaces[0].name: 'a b' is not an interface name"},
      {{{"interfaces", {"a\tb"}}}, "interfaces[0]: 'a?b' has characters"},
      {{{"interfaces", {7}}}, "interfaces[0]: a map of keys is expected here"},
      {{{"interfaces", {{{"name", "eth0"}, {"xdp", "hw"}}}}}, "interfaces[0].xdp: 'hw' is not an XDP mode"},
      {{{"interfaces", {{{"xdp", "auto"}}}}}, "interfaces[0].name: missing"},
      {{{"encapsulation", {{"source4", "2001:db8::1"}}}},
       "encapsulation.source4: 2001:db8::1 is not an IPv4 address"},
      {{{"encapsulation", {{"source6", "2001:db8::/48"}}}},
       "encapsulation.source6: 2001:db8::/48 is too wide"},
      {{{"encapsulation", {{"source4", "10.0.0.1/8"}}}}, "encapsulation.source4: '10.0.0.1/8' has bits set"},
      {{{"encapsulation", {{"source", "10.0.0.1"}}}}, "encapsulation.source: unknown key"},
      {{{"defaults", {{"grace", "5x"}}}}, "defaults.grace: '5x' is not a duration between 1s and 24h"},
      {{{"defaults", {{"grace", 900}}}}, "defaults.grace: '900' is not a duration"},
      {{{"defaults", {{"hash_seed", 1234}}}}, "defaults.hash_seed: 1234 is not text: put it in quotes"},
      {{{"defaults", {{"next_hop", "00:00:00:00:00:00"}}}}, "defaults.next_hop: defaults: next hop"},
      {{{"defaults", nullptr}}, "defaults: no value is given"},
      {{{"limits", {{"flows", 5}}}}, "limits.flows: 5 is not between 1024 and 16777216"},
      {{{"limits", {{"ring_slots", 5000}}}},
       "limits.ring_slots: a limit of 5000 ring_slots is not a power of two"},
      {{{"limits", {{"flow", 5}}}}, "limits.flow: unknown key: the keys here are services, backends"},
      {{{"service", json::array()}}, "service: unknown key: the keys here are version, interfaces"},
      {{{"services", json::object()}}, "services: a list is expected here"},
      {{{"services", nullptr}}, "services: a list is expected here: write [] if there is none"},
  };
  for (const auto& [patch, expected] : cases) {
    json whole = {{"version", 1}};
    whole.update(patch);
    const std::string said = message(decode(whole));
    EXPECT_TRUE(says(said, expected));
    EXPECT_EQ(std::ranges::count(said, '\n'), 0) << said;
  }
  EXPECT_TRUE(says(message(decode(json::object())), "version: missing: write one, such as version: 1"));
  for (const json& whole : {json(), json(7), json::array(), json("version: 1")})
    EXPECT_EQ(message(decode(whole)), "a document is a map of keys: begin with version: 1");
}

TEST(Decode, KeysOfLaterVersionsAreUnsupportedNotUnknown) {
  const std::pair<json, const char*> cases[] = {
      {{{"mode", "gue"}}, "services[0].mode: 'gue' is a forwarding mode that this version does not support"},
      {{{"mode", "l2"}}, "'l2'"},
      {{{"mode", "nat"}}, "'nat'"},
      {{{"mode", "local"}}, "'local'"},
      {{{"protocol", "sctp"}},
       "services[0].protocol: 'sctp' is a protocol that this version does not support"},
      {{{"health", json::object()}}, "services[0].health: this version does not support health checks"},
      {{{"vip", "192.0.2.0/24:80"}}, "services[0].vip: '192.0.2.0/24:80' has a prefix, which this version"},
      {{{"backends", {{{"address", "10.0.0.1"}, {"port", 8080}}}}},
       "services[0].backends[0].port: this version does"},
  };
  for (const auto& [patch, expected] : cases) {
    json service = good_service();
    service.update(patch);
    const auto decoded = decode(document(service));
    ASSERT_FALSE(decoded.ok()) << expected;
    EXPECT_EQ(decoded.error().code, ErrorCode::kUnsupported) << decoded.error().message;
    EXPECT_TRUE(says(decoded.error().message, expected));
    service["bogus"] = 1;
    EXPECT_EQ(decode(document(service)).error().code, ErrorCode::kInvalid)
        << "an error among them is an error";
  }
}

TEST(Decode, AutoCannotSilentlyMeanTheDefaultMacAddress) {
  json whole = document(good_service());
  whole["services"][0]["backends"][0]["next_hop"] = "auto";
  EXPECT_TRUE(decode(whole).ok());
  whole["defaults"]["next_hop"] = "02:00:5e:00:53:01";
  const auto decoded = decode(whole);
  ASSERT_FALSE(decoded.ok());
  EXPECT_EQ(decoded.error().code, ErrorCode::kUnsupported);
  EXPECT_TRUE(says(decoded.error().message, "services[0].backends[0].next_hop: this version cannot return"));
}

TEST(Decode, ReportsAllErrorsAndNoneThatOnlyFollowFromAnother) {
  json whole = document(good_service());
  whole["services"].push_back({{"name", "b"}, {"vip", "nonsense"}, {"ring", 1000}});
  whole["services"].push_back({{"name", "c"}, {"vip", "192.0.2.1:80"}, {"protocol", "icmp"}});
  whole["services"].push_back({{"name", "web"}, {"vip", "192.0.2.1:80"}});
  whole["colour"] = "green";
  const std::string said = message(decode(whole));
  EXPECT_TRUE(says(said, "services[1].vip: 'nonsense'"));
  EXPECT_TRUE(says(said, "services[1].ring: "));
  EXPECT_TRUE(says(said, "services[2].protocol: 'icmp'"));
  EXPECT_TRUE(says(said, "services[3].name: two services have the name 'web'"));
  EXPECT_TRUE(says(said, "services[3].vip: the services 'web' and 'web' have the same VIP"));
  EXPECT_TRUE(says(said, "colour: unknown key"));
  EXPECT_EQ(std::ranges::count(said, '\n'), 5) << said;
}

TEST(Decode, GivesTheCodeOfASingleCause) {
  json whole = document(good_service());
  whole["services"].push_back(good_service());
  EXPECT_EQ(decode(whole).error().code, ErrorCode::kExists);
  whole["services"].erase(1);
  whole["services"][0]["backends"].push_back({{"address", "10.0.0.99"}});
  whole["limits"] = {{"backends", 1}};
  const auto full = decode(whole);
  EXPECT_EQ(full.error().code, ErrorCode::kNoSpace);
  EXPECT_TRUE(says(message(full), "limits.backends: the services' 2 backends do not fit"));
}

TEST(Decode, AServiceOrBackendAloneIsCheckedToo) {
  EXPECT_EQ(message(decode_backend({{"address", "127.0.0.1"}})),
            "address: backend 127.0.0.1 is a loopback address: write the address of one machine");
  EXPECT_TRUE(
      says(message(decode_backend({{"address", "10.0.0.1"}, {"weight", -1}})), "weight: -1 is not between"));
  EXPECT_TRUE(says(message(decode_backend(json::array())), "map of keys"));
  json service = good_service();
  service["backends"].push_back({{"address", "10.0.0.11"}});
  EXPECT_EQ(decode_service(service).error().code, ErrorCode::kExists);
  EXPECT_TRUE(
      says(message(decode_service(service)), "backends[1].address: service 'web': backend 10.0.0.11"));
}

TEST(Decode, LongAndStrangeKeysStayReadable) {
  json whole = document(good_service());
  whole[std::string(100'000, 'k')] = 1;
  whole["a\n\x01\xff"] = 1;
  const std::string said = message(decode(whole));
  EXPECT_LT(said.size(), 600U);
  EXPECT_EQ(std::ranges::count(said, '\n'), 1) << said;
  EXPECT_TRUE(says(said, "a???: unknown key"));
}

TEST(Decode, ManyErrorsAreCutShort) {
  json whole = {{"version", 1}, {"services", json::array()}};
  for (int i = 0; i < 10'000; ++i) whole["services"].push_back(i);
  const std::string said = message(decode(whole));
  EXPECT_EQ(std::ranges::count(said, '\n'), 100);
  EXPECT_TRUE(said.ends_with("and more errors"));
}

// ---- where it is wrong ----

TEST(Yaml, GivesLineAndColumnOfTheValue) {
  const std::string said = yaml_message(R"(version: 1
services:
  - name: web
    vip: 192.0.2.1:80
    backends:
      - {address: 10.0.0.11, weight: 70000}
      - address: 10.0.0.11
        colour: green
  - name: api
    vip: 192.0.2.1:80
  - {name: dns}
interfaces: [eth0, eth0]
defaults:
  grace:
)");
  EXPECT_TRUE(says(said, "f.yaml:6:38: services[0].backends[0].weight: 70000 is not between 0 and 65535\n"));
  EXPECT_TRUE(says(said, "f.yaml:7:18: services[0].backends[1].address: "));
  EXPECT_TRUE(says(said, "f.yaml:8:9: services[0].backends[1].colour: unknown key"));
  EXPECT_TRUE(says(said, "f.yaml:10:10: services[1].vip: the services 'web' and 'api'"));
  EXPECT_TRUE(says(said, "f.yaml:11:5: services[2].vip: missing"));
  EXPECT_TRUE(says(said, "f.yaml:12:20: interfaces[1].name: "));
  EXPECT_TRUE(says(said, "f.yaml:14:3: defaults.grace: no value is given"));
  EXPECT_TRUE(says(said, "f.yaml:6:38")) << said;
  EXPECT_LT(said.find("f.yaml:6:"), said.find("f.yaml:7:")) << "in the order of the file";
  EXPECT_LT(said.find("f.yaml:11:"), said.find("f.yaml:12:"));
}

TEST(Json, GivesLineAndColumnOfTheValue) {
  const std::string said = json_message(R"({
  "version" : 1, "x": -1.5e3,
  "services": [ {"name": "we\"b", "vip": "192.0.2.1:80",
    "backends": [{"address":"10.0.0.11","weight":70000}, {"weight" : true }] },
    null, {} ]
})");
  EXPECT_TRUE(says(said, "f.json:2:18: x: unknown key"));
  EXPECT_TRUE(says(said, "f.json:3:26: services[0].name: 'we\"b' is not"));
  EXPECT_TRUE(says(said, "f.json:4:50: services[0].backends[0].weight: 70000"));
  EXPECT_TRUE(says(said, "f.json:4:58: services[0].backends[1].address: missing"));
  EXPECT_TRUE(says(said, "f.json:4:70: services[0].backends[1].weight: true"));
  EXPECT_TRUE(says(said, "f.json:5:5: services[1]: no value"));
  EXPECT_TRUE(says(said, "f.json:5:11: services[2].name: missing"));
}

TEST(Json, GivesLineAndColumnOfASyntaxError) {
  EXPECT_TRUE(says(json_message("{\n  \"version\": 1,\n  oops\n}"), "f.json:3:3: syntax error"));
  EXPECT_TRUE(says(json_message(""), "f.json:1:1: "));
  EXPECT_TRUE(says(json_message("{\"version\": 1"), "f.json:1:14: syntax error"));
  EXPECT_TRUE(says(json_message("{\"version\": 1} x"), "f.json:1:16: "));
  EXPECT_TRUE(says(json_message("{\"version\": 1,}"), "f.json:1:15: "));
  EXPECT_TRUE(says(json_message("{\"version\": 1e999}"), "number overflow"));
  EXPECT_TRUE(says(json_message("{\"version\": 1, // one\n}"), "syntax error"));
}

TEST(Yaml, PlainNumbersAreNumbersAndQuotedOnesAreText) {
  const auto weight = [](std::string_view text) {
    return yaml_message(
        fmt::format("version: 1\nservices: [{{name: a, vip: '192.0.2.1:80', backends: "
                    "[{{address: 10.0.0.1, weight: {}}}]}}]",
                    text));
  };
  EXPECT_EQ(weight("7"), "it passed");
  EXPECT_EQ(weight("0"), "it passed");
  for (const char* text : {"'7'", "\"7\"", "07", "0x7", "0o7", "7e0", "7.0", "+7", "1:30", "yes", "seven"})
    EXPECT_TRUE(says(weight(text), "is not a whole number between 0 and 65535")) << text;
  EXPECT_TRUE(says(weight("-7"), "-7 is not between"));
  EXPECT_TRUE(says(weight("true"), "true is not a whole number"));
  EXPECT_TRUE(says(weight("99999999999999999999"), "is not a whole number between 0 and 65535"));
  EXPECT_TRUE(says(weight("~"), "no value is given"));
}

TEST(Yaml, ExplainsBracketsThatNeedQuotes) {
  const auto with = [](std::string_view vip) {
    return yaml_message(fmt::format("version: 1\nservices:\n  - name: a\n    vip: {}\n    ring: 256\n", vip));
  };
  EXPECT_TRUE(says(with("[2001:db8::1]:53"), "f.yaml:4:23: "));
  EXPECT_TRUE(
      says(with("[2001:db8::1]:53"), "an IPv6 address may need quotes here, as in \"[2001:db8::1]:53\""));
  EXPECT_TRUE(says(with("[2001:db8::1]"),
                   "f.yaml:4:10: services[0].vip: a list stands where text is expected: an "
                   "address in brackets needs quotes"));
  EXPECT_TRUE(
      says(yaml_message("version: 1\nservices: [{name: a, vip: [2001:db8::1]:53}]"), "may need quotes"));
  EXPECT_TRUE(says(yaml_message("version: 1\nencapsulation: {source6: 2001:db8::, source4: 192.0.2.1}"),
                   "may need quotes"));
  EXPECT_FALSE(says(yaml_message("version: 1\nencapsulation: {source4: 192.0.2.1"), "may need quotes"));
  EXPECT_TRUE(says(with("*:80"), "f.yaml:4:10: "));
}

TEST(Yaml, RefusesWhatHidesOrMultipliesMeaning) {
  const std::pair<const char*, const char*> cases[] = {
      {"version: 1\nversion: 1\n", "f.yaml:2:1: the key 'version' is here twice"},
      {"version: 1\nlimits: {flows: 2048, flows: 4096}\n", "f.yaml:2:23: the key 'flows' is here twice"},
      {"version: &v 1\n", "f.yaml:1:10: anchors (&) and aliases (*) are not supported"},
      {"version: 1\ninterfaces: [&a eth0, *a]\n", "f.yaml:2:14: anchors (&)"},
      {"&a version: 1\n", "anchors (&)"},
      {"version: 1\nlimits:\n  <<: {flows: 2048}\n", "limits.<<: unknown key"},
      {"version: !!int 1\n", "tags are not supported"},
      {"version: 1\nservices: !mine []\n", "tags are not supported"},
      {"version: 1\n---\nversion: 1\n", "a second document begins here: a file holds one"},
      {"version: 1\n---\n", "a second document"},
      {"? [version]\n: 1\n", "a key is expected here, and it must be text"},
      {"{version: 1}: 1\n", "a key is expected here"},
      {"version: 1\n: 1\n", "a key is expected here"},
      {"", "f.yaml: a document is a map of keys: begin with version: 1"},
      {"# nothing\n", "a document is a map of keys"},
      {"- version: 1\n", "f.yaml:1:1: a document is a map of keys"},
      {"version 1\n", "f.yaml:1:1: a document is a map of keys"},
      {"version: 1\n\tlimits: {}\n", "f.yaml:2:"},
      {"version: 'one\n", "f.yaml:"},
      {"version: \"\\q\"\n", "f.yaml:1:"},
  };
  for (const auto& [text, expected] : cases) EXPECT_TRUE(says(yaml_message(text), expected)) << text;
}

TEST(Json, RefusesWhatHidesMeaning) {
  EXPECT_EQ(json_message("{\"version\": 1,\n \"version\": 1}"),
            "f.json:2:2: the key 'version' is here twice: remove one");
  EXPECT_TRUE(says(json_message("{\"version\": 1}{}"), "syntax error"));
  EXPECT_TRUE(
      says(json_message(R"({"version": 1, "defaults": {"hash_seed": "a\u0000b"}})"), "printable ASCII"));
  EXPECT_TRUE(says(json_message("[]"), "f.json:1:1: a document is a map of keys"));
}

TEST(Text, IsUtf8WithoutControlCharacters) {
  using namespace std::string_literals;
  EXPECT_TRUE(
      says(yaml_message("version: 1\n# \x04\nservices: [\n"), "f.yaml:2:3: the byte 0x04 is a control"));
  EXPECT_TRUE(
      says(yaml_message("version: 1\n\0"s), "the byte 0x00 is a control character: write UTF-8 text"));
  EXPECT_TRUE(says(yaml_message("\xff\xfev\0e\0"s), "f.yaml:1:1: the byte 0xff is not UTF-8"));
  for (const char* text : {"\x80", "\xc0\xaf", "\xc3", "\xe0\x80\xaf", "\xed\xa0\x80", "\xf0\x80\x80\xaf",
                           "\xf4\x90\x80\x80", "\xf5\x80\x80\x80", "\xe2\x82"}) {
    EXPECT_TRUE(says(yaml_message(text), "is not UTF-8"));
    EXPECT_TRUE(says(json_message(text), "is not UTF-8"));
  }
  EXPECT_EQ(yaml_message("# caf\xc3\xa9 \xe2\x82\xac \xf0\x9f\x90\x99\nversion: 1"), "it passed");
}

TEST(Text, HasBounds) {
  const std::string spaces(kMaxDocumentBytes + 1, ' ');
  EXPECT_TRUE(says(yaml_message(spaces), "the document has 16777217 bytes: at most 16777216"));
  EXPECT_TRUE(says(json_message(spaces), "the document has 16777217 bytes"));
  const auto nested = [](std::string_view opening, std::string_view closing) {
    std::string text;
    for (int i = 0; i < 5000; ++i) text += opening;
    for (int i = 0; i < 5000; ++i) text += closing;
    return yaml_message(text);
  };
  EXPECT_TRUE(says(nested("[", "]"), "nested deeper than 32 levels"));
  EXPECT_TRUE(says(nested("{a: ", "}"), "nested deeper than 32 levels"));
  EXPECT_TRUE(says(nested("- ", ""), "f.yaml:1:65: the document is nested deeper than 32 levels"));
  EXPECT_TRUE(says(nested("[", ""), "is a bracket, a brace or a quote left open?"));
  EXPECT_TRUE(
      says(json_message(std::string(1'000'000, '[')), "f.json:1:33: the document is nested deeper than 32"));
  EXPECT_TRUE(says(yaml_message(std::string(3'000'000, '[')), "more than two million brackets"));
  std::string wide = "[";
  for (int i = 0; i < 1'100'000; ++i) wide += "1,";
  EXPECT_TRUE(says(json_message(wide), "the document has more than 1048576 values"));
  EXPECT_TRUE(says(json_message("{\"" + std::string(256, '.') + "\": 1}"), "has more than 255 bytes"));
}

// ---- whatever comes ----

// Changes `text` as a typing error, a truncated write or a bad disk would, and sometimes as an enemy would.
std::string mutated(std::string text, std::mt19937& random) {
  const std::string_view pieces[] = {"[",       "]",
                                     "{",       "}",
                                     ":",       ": ",
                                     "- ",      "\n",
                                     "  ",      "\"",
                                     "'",       "&a ",
                                     "*a",      "!!str ",
                                     "#",       ",",
                                     "|",       ">",
                                     "?",       "%",
                                     "@",       "\t",
                                     "---\n",   "~",
                                     "-1",      "99999999999999999999",
                                     "\xff",    "\x04",
                                     "\\u0000", "<<: ",
                                     "0",       "::",
                                     "\r",      "\xef\xbb\xbf",
                                     "services"};
  for (unsigned changes = 1 + random() % 4; changes > 0 && !text.empty(); --changes) {
    const size_t at = random() % text.size();
    const size_t length = std::min<size_t>(1 + random() % 20, text.size() - at);
    switch (random() % 5) {
      case 0:
        text[at] = static_cast<char>(random());
        break;
      case 1:
        text.erase(at, length);
        break;
      case 2:
        text.insert(at, pieces[random() % std::size(pieces)]);
        break;
      case 3:
        text.insert(random() % text.size(), text.substr(at, length * 5));
        break;
      default:
        text.resize(at + (random() % 2 == 0 ? length : text.size() - at));
        break;
    }
  }
  return text;
}

template <typename Parse>
void expect_sound(Parse parse, const std::string& text) {
  const auto parsed = parse(text, "f");
  if (parsed.ok()) {
    EXPECT_TRUE(validate(parsed->config).ok()) << text;
    const auto again = decode(encode(parsed->config));
    ASSERT_TRUE(again.ok()) << message(again) << "\n" << text;
    EXPECT_EQ(*again, parsed->config) << text;
  } else {
    EXPECT_TRUE(parsed.error().message.starts_with("f:")) << parsed.error().message;
    EXPECT_NE(parsed.error().code, ErrorCode::kInternal) << parsed.error().message << "\n" << text;
    EXPECT_NO_THROW((void)json(parsed.error().message).dump()) << "messages are UTF-8, as JSON wants it";
  }
}

TEST(Robustness, MutatedDocumentsAreReadOrRefusedButNeverThrow) {
  std::mt19937 random(20240229);
  const std::string yaml(kYaml);
  const std::string as_json = encode(parse_yaml(kYaml, "f")->config).dump(1);
  for (int i = 0; i < 8000; ++i) {
    EXPECT_NO_THROW(expect_sound(parse_yaml, mutated(yaml, random)));
    EXPECT_NO_THROW(expect_sound(parse_json, mutated(as_json, random)));
    EXPECT_NO_THROW(expect_sound(parse_yaml, mutated(as_json, random)));
  }
}

TEST(Robustness, EveryPrefixOfADocumentIsReadOrRefused) {
  const std::string as_json = encode(parse_yaml(kYaml, "f")->config).dump(1);
  for (size_t length = 0; length < kYaml.size(); ++length)
    EXPECT_NO_THROW(expect_sound(parse_yaml, std::string(kYaml.substr(0, length))));
  for (size_t length = 0; length < as_json.size(); ++length)
    EXPECT_NO_THROW(expect_sound(parse_json, as_json.substr(0, length)));
}

}  // namespace
}  // namespace sluice::model
