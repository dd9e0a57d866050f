// The whole command in this process, against a scripted agent: what a person sees, what a script gets, what
// the agent is asked, and the exit code of every way to go wrong.
#include "cli/run.h"

#include <gtest/gtest.h>

#include <atomic>
#include <sstream>

#include "scripted_agent.h"

namespace sluice::cli {
namespace {

using nlohmann::json;
using test::http_reply;
using test::Request;
using test::ScriptedAgent;
using Args = std::vector<std::string>;

struct Outcome {
  int code;
  std::string out;
  std::string err;
};

constexpr uint64_t kNow = 1767225600;

Outcome run_in(const Environment& environment, const Args& args) {
  std::ostringstream out;
  std::ostringstream err;
  const int code = run(args, out, err, environment);
  return {code, out.str(), err.str()};
}

Outcome run_at(const std::string& socket, const Args& args, bool colours = false) {
  Environment environment;
  environment.socket = socket;
  environment.colours = colours;
  environment.limit = std::chrono::seconds(5);
  environment.clock.unix_time = [] { return kNow; };
  return run_in(environment, args);
}

// The command against nobody: whatever it returns but 3, it did not ask the agent.
Outcome run_alone(const Args& args) {
  return run_at("/nonexistent/agent.sock", args);
}

api::Traffic traffic(double packets_per_second, double bytes_per_second, uint64_t packets = 0,
                     uint64_t bytes = 0) {
  return {.packets = packets,
          .bytes = bytes,
          .packets_per_second = packets_per_second,
          .bytes_per_second = bytes_per_second};
}

api::BackendStatus backend(std::string_view address, uint32_t slots, const api::Traffic& seen) {
  api::BackendStatus made;
  made.wanted.address = *IpAddress::parse(address);
  made.slots = slots;
  made.path = api::PathState::kResolved;
  made.path_detail = "via 10.0.0.254 on eth1";
  made.traffic = seen;
  return made;
}

api::ServiceStatus web() {
  api::ServiceStatus service;
  service.wanted.name = "web";
  service.wanted.vip = *Endpoint::parse("192.0.2.1:80");
  service.tracked_slots = 21845;
  service.traffic = traffic(1234, 425e3, 5000000, 1234567890);
  service.backends = {backend("10.0.0.11", 43691, traffic(800, 300e3)),
                      backend("10.0.0.12", 0, traffic(434, 125e3)), backend("10.0.0.13", 21845, {}),
                      backend("2001:db8:aaaa:bbbb:cccc:dddd:eeee:ffff", 0, {}), backend("10.0.0.14", 0, {})};
  service.backends[0].wanted.weight = 2;
  service.backends[0].flows = 7;
  service.backends[1].wanted.state = model::BackendState::kDrain;
  service.backends[1].wanted.drain_until = kNow + 250;
  service.backends[1].flows = 12;
  service.backends[1].origin_slots = 1234;
  service.backends[2].path = api::PathState::kUnresolved;
  service.backends[2].path_detail =
      "no answer from 10.0.0.254 on eth1 (asked 12 times): is the router up, and the address the right one?";
  service.backends[3].path = api::PathState::kUnresolved;
  service.backends[3].path_detail = "no route";
  service.backends[3].wanted.state = model::BackendState::kDrain;
  service.backends[3].flows = 1;
  service.backends[4].wanted.state = model::BackendState::kDown;
  return service;
}

api::ServiceStatus long_one() {
  api::ServiceStatus service;
  service.wanted.name = "a-service-whose-name-is-as-long-as-names-may-be-that-is-63-bytes";
  service.wanted.name.resize(model::kMaxNameLength);
  service.wanted.vip = *Endpoint::parse("[2001:db8:aaaa:bbbb:cccc:dddd:eeee:ffff]:65535");
  service.wanted.protocol = model::Protocol::kUdp;
  service.traffic = traffic(123.4e6, 999.94e9 / 8);
  return service;
}

api::Status status() {
  api::Status made;
  made.version = "0.1.0";
  made.revision = 17;
  made.uptime_seconds = 11530;
  made.interfaces = {
      {.name = "eth0", .native = true, .shared = false, .remark = ""},
      {.name = "eth1", .native = false, .shared = true, .remark = "its driver has no native XDP"}};
  made.services = {web(), long_one()};
  const auto reason = [](const char* name, const char* text, bool drops, const api::Traffic& seen) {
    return api::ReasonStatus{.name = name, .text = text, .drops = drops, .traffic = seen};
  };
  made.reasons = {
      reason("not_ip", "not IPv4 or IPv6 (ARP, VLAN tag, ...)", false, traffic(0, 0, 99999)),
      reason("no_service", "its destination is no service's VIP and port", false, traffic(0, 0, 1234567)),
      reason("no_backend", "the service has no live backend", true, {}),
      reason("unresolved", "the backend's next hop is not known", true, traffic(12.25, 900, 1234))};
  made.flow_table = {
      .entries = 1234,
      .capacity = 262144,
      .age_seconds = 2.5,
      .counters = {reason("asked", "packets whose backend the flow table was asked for", false,
                          traffic(5000, 0, 1234567)),
                   reason("full", "packets of flows for which the table had no place", false, {})}};
  return made;
}

constexpr const char* kChanged = R"({"revision": 18, "slots": 65536, "moved": 21845, "tracked": 21845})";

std::string answer(const Request& request) {
  if (request.line == "GET /v1/status") return http_reply(200, api::encode(status()).dump());
  if (request.line == "GET /v1/config") return http_reply(200, R"({"version":1,"services":[]})");
  if (request.line == "POST /v1/services")
    return http_reply(201, R"({"revision": 18, "slots": 65536, "moved": 0, "tracked": 0})");
  if (request.line == "DELETE /v1/services/web")
    return http_reply(200, R"({"revision": 18, "slots": 0, "moved": 0, "tracked": 0})");
  return http_reply(200, kChanged);
}

Outcome run_against(ScriptedAgent::Script script, const Args& args, std::vector<Request>* asked = nullptr,
                    bool colours = false) {
  ScriptedAgent agent(std::move(script));
  Outcome outcome = run_at(agent.socket_path(), args, colours);
  if (asked) *asked = agent.requests();
  return outcome;
}

Outcome run_ok(const Args& args, std::vector<Request>* asked = nullptr) {
  return run_against(answer, args, asked);
}

std::string joined(const Args& args) {
  std::string line = "sluice";
  for (const std::string& arg : args) line += " " + arg;
  return line;
}

void expect_narrow(const std::string& text) {
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) {
    EXPECT_LE(line.size(), 80U) << line;
    EXPECT_FALSE(line.ends_with(' ')) << line;
  }
}

// ---- show ----

constexpr const char* kOverview = R"(sluiced 0.1.0, up 3h 12m
eth0  native XDP
eth1  generic XDP, shared with other programs: its driver has no native XDP
flow table: 1234 of 262144 entries

SERVICE AND BACKENDS          WEIGHT  STATE         RING    PACKETS         BITS
web  tcp 192.0.2.1:80                                      1.2k pps   3.4 Mbit/s
  21845 of 65536 slots keep older flows where they are
  10.0.0.11                        2  up           66.7%    800 pps   2.4 Mbit/s
  10.0.0.12                        1  drain         0.0%    434 pps   1.0 Mbit/s
      12 flows remain, ends in 4m 10s; silent ones, if any, are kept in 1234
      slots
  10.0.0.13                        1  unresolved   33.3%      0 pps      0 bit/s
      no answer from 10.0.0.254 on eth1 (asked 12 times): is the router up, and
      the address the right one?
  2001:db8:aaaa:bbbb:cccc:dddd:eeee:ffff
                                   1  drain         0.0%      0 pps      0 bit/s
      1 flow remains
      unresolved: no route
  10.0.0.14                        1  down          0.0%      0 pps      0 bit/s
a-service-whose-name-is-as-long-as-names-may-be-that-is-63-byte
  udp [2001:db8:aaaa:bbbb:cccc:dddd:eeee:ffff]:65535       123M pps   1.0 Tbit/s
  no backends yet: sluice backend add
  a-service-whose-name-is-as-long-as-names-may-be-that-is-63-byte ADDRESS

dropping 12 pps: see 'sluice show drops'
)";

TEST(CliShow, OverviewIsTheSameForEveryNounWithoutAVerb) {
  for (const Args& args : {Args{}, Args{"show"}, Args{"service"}, Args{"backend"}}) {
    std::vector<Request> asked;
    const Outcome outcome = run_ok(args, &asked);
    EXPECT_EQ(outcome.code, 0) << joined(args);
    EXPECT_EQ(outcome.out, kOverview) << joined(args);
    EXPECT_EQ(outcome.err, "");
    ASSERT_EQ(asked.size(), 1U);
    EXPECT_EQ(asked[0].line, "GET /v1/status");
  }
  expect_narrow(kOverview);
}

TEST(CliShow, ServiceHasEveryDetail) {
  const Outcome outcome = run_ok({"show", "web"});
  EXPECT_EQ(outcome.code, 0);
  EXPECT_EQ(outcome.out, R"(SERVICE AND BACKENDS          WEIGHT  STATE         RING    PACKETS         BITS
web  tcp 192.0.2.1:80                                      1.2k pps   3.4 Mbit/s
  mode ipip, hash 5-tuple, flows auto, ring of 65536 slots
  21845 of 65536 slots keep older flows where they are
  5000000 packets, 1.2 GB since it was added
  10.0.0.11                        2  up           66.7%    800 pps   2.4 Mbit/s
      7 flows in the flow table
      via 10.0.0.254 on eth1
  10.0.0.12                        1  drain         0.0%    434 pps   1.0 Mbit/s
      12 flows remain, ends in 4m 10s; silent ones, if any, are kept in 1234
      slots
      via 10.0.0.254 on eth1
  10.0.0.13                        1  unresolved   33.3%      0 pps      0 bit/s
      no answer from 10.0.0.254 on eth1 (asked 12 times): is the router up, and
      the address the right one?
  2001:db8:aaaa:bbbb:cccc:dddd:eeee:ffff
                                   1  drain         0.0%      0 pps      0 bit/s
      1 flow remains
      unresolved: no route
  10.0.0.14                        1  down          0.0%      0 pps      0 bit/s
      via 10.0.0.254 on eth1
)");
  expect_narrow(outcome.out);
}

TEST(CliShow, UnknownServiceIsNotFound) {
  const Outcome outcome = run_ok({"show", "webb"});
  EXPECT_EQ(outcome.code, 4);
  EXPECT_EQ(outcome.out, "");
  EXPECT_EQ(outcome.err, "sluice: no service is called 'webb': 'sluice show' lists those there are\n");
}

TEST(CliShow, ServiceCalledLikeACommandIsReachedBehindTwoDashes) {
  for (const std::string name : {"drops", "flows", "config"}) {
    const Outcome outcome = run_ok({"show", "--", name});
    EXPECT_EQ(outcome.code, 4);
    EXPECT_NE(outcome.err.find("no service is called '" + name + "'"), std::string::npos) << outcome.err;
  }
}

TEST(CliShow, ServiceNamesItsHash) {
  api::Status hashed = status();
  hashed.services[0].wanted.hash = model::FlowHash::kSourceIpPort;
  const auto script = [&](const Request&) { return http_reply(200, api::encode(hashed).dump()); };
  const std::string out = run_against(script, {"show", "web"}).out;
  EXPECT_NE(out.find("  mode ipip, hash source-ip,port, flows auto, ring of"), std::string::npos) << out;
}

TEST(CliShow, FlowTableIsOnlySpokenOfWhereItHoldsSomething) {
  api::Status idle = status();
  idle.flow_table.entries = 0;
  const auto script = [&](const Request&) { return http_reply(200, api::encode(idle).dump()); };
  EXPECT_EQ(run_against(script, {}).out.find("flow table"), std::string::npos);
}

TEST(CliShow, FullFlowTableSaysWhoIsAtRiskAndWhatToRaise) {
  api::Status full = status();
  full.flow_table.entries = 0;  // the reading may be older than the rate
  full.flow_table.counters[1].traffic.packets_per_second = 1234;
  const auto script = [&](const Request&) { return http_reply(200, api::encode(full).dump()); };
  const std::string warning =
      "flow table full: 1.2k pps find no place; new UDP flows, and new TCP flows in\n"
      "slots that a change moved, may lose their backend at the next change: raise\n"
      "limits.flows\n";
  for (const Args& args : {Args{"show"}, Args{"show", "flows"}}) {
    const Outcome outcome = run_against(script, args);
    EXPECT_TRUE(outcome.out.ends_with("\n\n" + warning)) << outcome.out;
    expect_narrow(outcome.out);
    const std::string red = run_against(script, args, nullptr, true).out;
    EXPECT_NE(red.find("\n\x1b[31mflow table full: 1.2k pps find no place\x1b[0m; new UDP flows, and new TCP "
                       "flows in\nslots"),
              std::string::npos)
        << red;
  }
  EXPECT_NE(run_against(script, {"show"}).out.find("flow table: 0 of 262144 entries\n"), std::string::npos);
}

TEST(CliShow, FlowsAreTheTableAndItsCounters) {
  const Outcome outcome = run_ok({"show", "flows"});
  EXPECT_EQ(outcome.code, 0);
  EXPECT_EQ(outcome.out, R"(1234 of 262144 entries, read 2s ago

EVENT          RATE  COUNT  MEANING
asked      5.0k pps   1.2M  packets whose backend the flow table was asked for
full          0 pps      0  packets of flows for which the table had no place
)");
  expect_narrow(outcome.out);
}

TEST(CliShow, FlowsWithoutAReadingSayWhy) {
  const auto script = [](const Request&) { return http_reply(200, api::encode(api::Status()).dump()); };
  const Outcome outcome = run_against(script, {"show", "flows"});
  EXPECT_EQ(outcome.code, 0);
  EXPECT_TRUE(outcome.out.starts_with("0 of 0 entries, not read: nothing is tracked")) << outcome.out;
  expect_narrow(outcome.out);
}

TEST(CliShow, NothingYetSaysWhatToTypeNext) {
  const auto script = [](const Request&) { return http_reply(200, api::encode(api::Status()).dump()); };
  const Outcome outcome = run_against(script, {});
  EXPECT_EQ(outcome.code, 0);
  EXPECT_EQ(outcome.out, R"(sluiced , up 0s
no interface: packets pass by until the configuration file names one under
'interfaces'

no services yet; add one, and then its backends:
  sluice service add web tcp 192.0.2.1:80
  sluice backend add web 10.0.0.11
)");
}

TEST(CliShow, DropsAreSortedByRateThenCount) {
  const Outcome outcome = run_ok({"show", "drops"});
  EXPECT_EQ(outcome.code, 0);
  EXPECT_EQ(outcome.out, R"(      REASON             RATE  COUNT  MEANING
drop  unresolved       12 pps   1234  the backend's next hop is not known
pass  no_service        0 pps   1.2M  its destination is no service's VIP and
                                      port
pass  not_ip            0 pps  99999  not IPv4 or IPv6 (ARP, VLAN tag, ...)
drop  no_backend        0 pps      0  the service has no live backend
)");
  expect_narrow(outcome.out);
}

TEST(CliShow, ConfigIsJsonEitherWay) {
  for (const Args& args : {Args{"show", "config"}, Args{"show", "config", "--json"}}) {
    const Outcome outcome = run_ok(args);
    EXPECT_EQ(outcome.code, 0);
    EXPECT_EQ(json::parse(outcome.out), json::parse(R"({"version": 1, "services": []})"));
  }
}

TEST(CliShow, JsonIsTheContractsOwn) {
  EXPECT_EQ(json::parse(run_ok({"--json"}).out), api::encode(status()));
  EXPECT_EQ(json::parse(run_ok({"show", "--json"}).out), api::encode(status()));
  EXPECT_EQ(json::parse(run_ok({"show", "web", "--json"}).out), api::encode(web()));
  const json drops = json::parse(run_ok({"show", "drops", "--json"}).out);
  EXPECT_EQ(drops["reasons"].size(), 4U);
  EXPECT_EQ(drops["reasons"][0], api::encode(status().reasons[3]));
  const json flows = json::parse(run_ok({"show", "flows", "--json"}).out);
  EXPECT_EQ(flows, (json{{"flow_table", api::encode(status())["flow_table"]}}));
}

TEST(CliShow, ColoursOnlyWhereTheyAreWanted) {
  EXPECT_EQ(std::string(kOverview).find('\x1b'), std::string::npos);
  const std::string out = run_against(answer, {"show"}, nullptr, true).out;
  EXPECT_NE(out.find("\x1b[32mup        \x1b[0m"), std::string::npos);
  EXPECT_NE(out.find("\x1b[31mdrain     \x1b[0m"), std::string::npos) << "drains, and has no next hop";
  EXPECT_NE(out.find("\x1b[33mdrain     \x1b[0m"), std::string::npos);
  EXPECT_NE(out.find("\x1b[33mdown      \x1b[0m"), std::string::npos);
  EXPECT_NE(out.find("\x1b[31munresolved\x1b[0m"), std::string::npos);
  EXPECT_EQ(run_against(answer, {"show", "--json"}, nullptr, true).out.find('\x1b'), std::string::npos);
}

TEST(CliShow, ForeignTextCannotCommandTheTerminal) {
  api::Status hostile = status();
  hostile.services[0].backends[2].path_detail = "\x1b[2J gone";
  const auto script = [&](const Request&) { return http_reply(200, api::encode(hostile).dump()); };
  const Outcome outcome = run_against(script, {"show"});
  EXPECT_EQ(outcome.out.find('\x1b'), std::string::npos);
  EXPECT_NE(outcome.out.find("?[2J gone"), std::string::npos);
}

// ---- changes ----

struct Change {
  Args args;
  std::string request;
  std::string body;  // JSON, or empty for none
  std::string line;
};

const std::vector<Change>& changes() {
  static const std::string kMoved = "; 21845 of 65536 slots moved, older flows stay where they are\n";
  static const std::vector<Change> kAll{
      {{"service", "add", "web", "tcp", "192.0.2.1:80"},
       "POST /v1/services",
       R"({"name": "web", "protocol": "tcp", "vip": "192.0.2.1:80"})",
       "web: added service tcp 192.0.2.1:80, without backends yet: sluice backend add web ADDRESS\n"},
      {{"service", "add", "add", "udp", "[2001:db8::1]:*", "--ring", "1024", "--flows", "stateless", "--mode",
        "ipip"},
       "POST /v1/services",
       R"({"name": "add", "protocol": "udp", "vip": "[2001:db8::1]:*", "ring": 1024, "flows": "stateless"})",
       "add: added service udp [2001:db8::1]:*, without backends yet: sluice backend add add ADDRESS\n"},
      {{"service", "add", "shop", "tcp", "192.0.2.8:443", "--hash", "source-ip"},
       "POST /v1/services",
       R"({"name": "shop", "protocol": "tcp", "vip": "192.0.2.8:443", "hash": "source-ip"})",
       "shop: added service tcp 192.0.2.8:443, without backends yet: sluice backend add shop ADDRESS\n"},
      {{"service", "set", "web", "--hash", "source-ip,port"},
       "PATCH /v1/services/web",
       R"({"hash": "source-ip,port"})",
       "web: set service to hash source-ip,port" + kMoved},
      {{"service", "set", "web", "--hash", "5-tuple", "--flows", "tracked", "--ring", "131072"},
       "PATCH /v1/services/web",
       R"({"hash": "5-tuple", "flows": "tracked", "ring": 131072})",
       "web: set service to hash 5-tuple, flows tracked, a ring of 131072 slots" + kMoved},
      {{"service", "del", "web"}, "DELETE /v1/services/web", "", "web: deleted service and its backends\n"},
      {{"backend", "add", "web", "10.0.0.11"},
       "POST /v1/services/web/backends",
       R"({"address": "10.0.0.11"})",
       "web: added backend 10.0.0.11 (weight 1)" + kMoved},
      {{"backend", "add", "web", "2001:DB8::11", "--weight", "2", "--next-hop", "02:00:5e:00:53:01"},
       "POST /v1/services/web/backends",
       R"({"address": "2001:db8::11", "weight": 2, "next_hop": "02:00:5e:00:53:01"})",
       "web: added backend 2001:db8::11 (weight 2)" + kMoved},
      {{"backend", "set", "web", "10.0.0.11", "--weight", "3", "--next-hop", "auto"},
       "PATCH /v1/services/web/backends/10.0.0.11",
       R"({"weight": 3, "next_hop": "auto"})",
       "web: set backend 10.0.0.11 to weight 3, next hop auto" + kMoved},
      {{"backend", "set", "web", "10.0.0.11", "--next-hop=02:00:5e:00:53:01"},
       "PATCH /v1/services/web/backends/10.0.0.11",
       R"({"next_hop": "02:00:5e:00:53:01"})",
       "web: set backend 10.0.0.11 to next hop 02:00:5e:00:53:01" + kMoved},
      {{"backend", "drain", "web", "10.0.0.11"},
       "PATCH /v1/services/web/backends/10.0.0.11",
       R"({"state": "drain"})",
       "web: backend 10.0.0.11 drains: it gets no new flows" + kMoved},
      {{"backend", "drain", "web", "10.0.0.11", "--deadline", "10m"},
       "PATCH /v1/services/web/backends/10.0.0.11",
       R"({"state": "drain", "drain_until": 1767226200})",
       "web: backend 10.0.0.11 drains: it gets no new flows, and is down in 10m 0s" + kMoved},
      {{"backend", "down", "web", "10.0.0.11"},
       "PATCH /v1/services/web/backends/10.0.0.11",
       R"({"state": "down"})",
       "web: backend 10.0.0.11 is down: its connections break" + kMoved},
      {{"backend", "up", "web", "10.0.0.11"},
       "PATCH /v1/services/web/backends/10.0.0.11",
       R"({"state": "up"})",
       "web: backend 10.0.0.11 gets new flows again" + kMoved},
      {{"backend", "undrain", "web", "2001:db8::11"},
       "PATCH /v1/services/web/backends/2001%3Adb8%3A%3A11",
       R"({"state": "up"})",
       "web: backend 2001:db8::11 gets new flows again" + kMoved},
      {{"backend", "del", "web", "10.0.0.11"},
       "DELETE /v1/services/web/backends/10.0.0.11",
       "",
       "web: deleted backend 10.0.0.11" + kMoved},
  };
  return kAll;
}

TEST(CliChange, EachAsksForItselfOnceAndSaysWhatHappened) {
  for (const Change& change : changes()) {
    std::vector<Request> asked;
    const Outcome outcome = run_ok(change.args, &asked);
    EXPECT_EQ(outcome.code, 0) << joined(change.args);
    EXPECT_EQ(outcome.out, change.line);
    EXPECT_EQ(outcome.err, "");
    ASSERT_EQ(asked.size(), 1U) << joined(change.args);
    EXPECT_EQ(asked[0].line, change.request);
    if (change.body.empty())
      EXPECT_EQ(asked[0].body, "");
    else
      EXPECT_EQ(json::parse(asked[0].body), json::parse(change.body)) << joined(change.args);
  }
}

TEST(CliChange, JsonIsTheChangedObject) {
  for (const Change& change : changes()) {
    Args args = change.args;
    args.push_back("--json");
    const Outcome outcome = run_ok(args);
    EXPECT_EQ(outcome.code, 0);
    const auto changed = api::decode_changed(json::parse(outcome.out, nullptr, false));
    ASSERT_TRUE(changed.ok()) << joined(args) << outcome.out;
    EXPECT_EQ(changed->revision, 18U);
  }
}

TEST(CliChange, OlderFlowsAreOnlySpokenOfWhereSomeAreKept) {
  const auto script = [](const Request&) {
    return http_reply(200, R"({"revision": 1, "slots": 1024, "moved": 7, "tracked": 0})");
  };
  EXPECT_EQ(run_against(script, {"backend", "del", "web", "10.0.0.11"}).out,
            "web: deleted backend 10.0.0.11; 7 of 1024 slots moved\n");
}

TEST(CliChange, DurationsAreSecondsUnlessTheyHaveAUnit) {
  const std::pair<const char*, uint64_t> cases[] = {
      {"1", 1},     {"90", 90},  {"90s", 90},         {"10m", 600},
      {"2h", 7200}, {"007s", 7}, {"8760h", 31536000}, {"31536000", 31536000}};
  for (const auto& [text, seconds] : cases) {
    std::vector<Request> asked;
    EXPECT_EQ(run_ok({"backend", "drain", "web", "10.0.0.11", "--deadline", text}, &asked).code, 0) << text;
    ASSERT_EQ(asked.size(), 1U);
    EXPECT_EQ(json::parse(asked[0].body)["drain_until"], kNow + seconds) << text;
  }
}

// ---- waiting for a drain ----

// Time that passes only while the command sleeps, and an agent whose status is a function of it.
class Wait : public testing::Test {
 protected:
  using Seconds = double;

  static api::Status seen(uint64_t flows, Seconds age,
                          model::BackendState state = model::BackendState::kDrain) {
    api::Status made = status();
    made.services[0].backends[0].wanted.state = state;
    made.services[0].backends[0].flows = flows;
    made.services[0].tracked_slots = age > 0 ? 21845 : 0;
    made.flow_table.age_seconds = age;
    return made;
  }

  // Nothing: the agent hangs up.
  using Script = std::function<std::optional<api::Status>(Seconds)>;
  Outcome drain(Script script, Args more = {}) {
    Args args{"backend", "drain", "web", "10.0.0.11", "--wait"};
    args.insert(args.end(), more.begin(), more.end());
    ScriptedAgent agent([&](const Request& request) -> std::string {
      if (request.line != "GET /v1/status") return http_reply(200, kChanged);
      const auto now = script(passed());
      return now ? http_reply(200, api::encode(*now).dump()) : "";
    });
    return run_in(environment(agent), args);
  }

  Environment environment(const ScriptedAgent& agent) {
    Environment made;
    made.socket = agent.socket_path();
    made.progress = terminal_;
    made.clock.unix_time = [] { return kNow; };
    made.clock.now = [this] { return kStart + std::chrono::milliseconds(passed_); };
    made.clock.sleep = [this](std::chrono::milliseconds time) { passed_ += time.count(); };
    return made;
  }

  Seconds passed() const { return static_cast<Seconds>(passed_) / 1000; }

  static constexpr std::chrono::steady_clock::time_point kStart{std::chrono::hours(1)};
  std::atomic<int64_t> passed_ = 0;  // milliseconds; the agent's thread reads it
  bool terminal_ = false;
};

constexpr const char* kBegun =
    "web: backend 10.0.0.11 drains: it gets no new flows; 21845 of 65536 slots moved, older flows stay where "
    "they are\n";

TEST_F(Wait, GivesAllFlowsTimeToSpeakAndThenWantsAReadingThatBeganLater) {
  const auto idle = [](Seconds) { return seen(0, 3); };
  const Outcome outcome = drain(idle);
  EXPECT_EQ(outcome.code, 0);
  EXPECT_EQ(outcome.out, std::string(kBegun) + "web: no flow of backend 10.0.0.11 remains, after 13s\n");
  EXPECT_EQ(outcome.err, "") << "not a terminal";
  EXPECT_EQ(passed(), 13);
}

TEST_F(Wait, QuietTimeIsTheCallers) {
  EXPECT_EQ(drain([](Seconds) { return seen(0, 3); }, {"--quiet", "0"}).code, 0);
  EXPECT_EQ(passed(), 3);
}

TEST_F(Wait, QuietTimeMayBeTheGracePeriod) {
  EXPECT_EQ(drain([](Seconds) { return seen(0, 1.5); }, {"--quiet", "15m"}).code, 0);
  EXPECT_EQ(passed(), 901.5);
}

TEST_F(Wait, NothingToReadCountsAsNoFlow) {
  EXPECT_EQ(drain([](Seconds) { return seen(0, 0); }).code, 0);
  EXPECT_EQ(passed(), 10);
}

TEST_F(Wait, TableThatAnAgentHasNotReadSinceItBeganIsNotKnown) {
  using enum model::FlowTracking;
  struct Case {
    model::Protocol protocol;
    model::FlowTracking flows;
    uint32_t tracked_slots;
    Seconds waits;
  };
  for (const Case& each :
       {Case{model::Protocol::kTcp, kAuto, 1, 40}, Case{model::Protocol::kTcp, kAuto, 0, 10},
        Case{model::Protocol::kTcp, kTracked, 0, 40}, Case{model::Protocol::kUdp, kAuto, 0, 40},
        Case{model::Protocol::kUdp, kStateless, 0, 10}}) {
    passed_ = 0;
    const auto script = [&](Seconds now) {
      api::Status made = seen(0, now < 40 ? 0 : 0.001);
      made.services[0].wanted.protocol = each.protocol;
      made.services[0].wanted.flows = each.flows;
      made.services[0].tracked_slots = each.tracked_slots;
      return made;
    };
    EXPECT_EQ(drain(script).code, 0);
    EXPECT_EQ(passed(), each.waits) << to_string(each.protocol) << " " << to_string(each.flows);
  }
}

TEST_F(Wait, FlowsThatSpeakLateInTheQuietTimeAreWaitedFor) {
  const auto script = [](Seconds now) { return seen(now >= 9 && now < 125 ? 5 : 0, 0.25); };
  EXPECT_EQ(drain(script).out,
            std::string(kBegun) + "web: no flow of backend 10.0.0.11 remains, after 2m 5s\n");
}

TEST_F(Wait, ReadingOlderThanTheQuietTimeDoesNotCount) {
  // Read every 20 s only: at 0, 20, 40, ... The one of 20 is the first after the quiet time.
  const auto script = [](Seconds now) { return seen(0, now < 20 ? now + 1 : now - 20 + 0.001); };
  EXPECT_EQ(drain(script).code, 0);
  EXPECT_EQ(passed(), 20);
}

TEST_F(Wait, DeadlineEndsItAndTheFlowsThatWereLeft) {
  const auto script = [](Seconds now) {
    return now < 600 ? seen(3, 0.5) : seen(0, 0.5, model::BackendState::kDown);
  };
  const Outcome outcome = drain(script, {"--deadline", "10m"});
  EXPECT_EQ(outcome.code, 0);
  EXPECT_TRUE(outcome.out.ends_with("\nweb: backend 10.0.0.11 is down, after 10m 0s: that ended 3 flows\n"))
      << outcome.out;
}

TEST_F(Wait, EndBeforeAnyReadingClaimsNoNumber) {
  const auto script = [](Seconds) { return seen(0, 0.5, model::BackendState::kDown); };
  const Outcome outcome = drain(script);
  EXPECT_EQ(outcome.code, 0);
  EXPECT_TRUE(outcome.out.ends_with("\nweb: backend 10.0.0.11 is down, after 0s\n")) << outcome.out;
  const json document = json::parse(drain(script, {"--json"}).out);
  EXPECT_TRUE(document.at("flows_remaining").is_null());
}

TEST_F(Wait, JsonIsOneDocumentAtTheEnd) {
  terminal_ = true;
  const Outcome gone = drain([](Seconds now) { return seen(now < 30 ? 3 : 0, 0); }, {"--json"});
  EXPECT_EQ(gone.code, 0);
  EXPECT_EQ(gone.err, "");
  EXPECT_EQ(json::parse(gone.out), json::parse(R"({"revision": 18, "slots": 65536, "moved": 21845,
      "tracked": 21845, "waited_seconds": 30.0, "flows_remaining": 0})"));
  const auto cut = [](Seconds) { return seen(3, 0); };
  passed_ = 0;
  const auto script = [&](Seconds now) {
    return now < 30 ? cut(now) : seen(0, 0, model::BackendState::kDown);
  };
  EXPECT_EQ(json::parse(drain(script, {"--json"}).out)["flows_remaining"], 3);
}

TEST_F(Wait, TerminalShowsOneLineThatIsRewrittenAndThenGone) {
  terminal_ = true;
  const Outcome outcome = drain([](Seconds now) {
    return seen(now < 4 ? 0 : now < 60 ? 123 : now < 90 ? 1 : 0, 0);
  });
  EXPECT_EQ(outcome.out, std::string(kBegun) + "web: no flow of backend 10.0.0.11 remains, after 1m 30s\n");
  for (const char* part :
       {"\rweb: 10.0.0.11: listening for its flows, 3s", "\rweb: 10.0.0.11: 123 flows remain, 59s",
        "\rweb: 10.0.0.11: 1 flow remains, 1m 29s"})
    EXPECT_NE(outcome.err.find(part), std::string::npos) << part;
  EXPECT_EQ(outcome.err.find('\n'), std::string::npos);
  EXPECT_TRUE(outcome.err.ends_with(" \r"));
  // What a terminal shows in the end: nothing.
  std::string shown(100, ' ');
  size_t column = 0;
  for (const char c : outcome.err) {
    if (c == '\r')
      column = 0;
    else
      shown.at(column++) = c;
  }
  EXPECT_EQ(shown, std::string(100, ' '));
}

TEST_F(Wait, ProgressFitsTheTerminalWhateverTheName) {
  terminal_ = true;
  api::Status long_names = seen(123, 0);
  long_names.services[0].wanted.name = std::string(model::kMaxNameLength, 'x');
  long_names.services[0].backends[0].wanted.address =
      *IpAddress::parse("2001:db8:aaaa:bbbb:cccc:dddd:eeee:fff0");
  ScriptedAgent agent([&](const Request& request) {
    if (request.line != "GET /v1/status") return http_reply(200, kChanged);
    long_names.services[0].backends[0].flows = passed() < 20 ? 1ULL << 33 : 0;
    return http_reply(200, api::encode(long_names).dump());
  });
  const Outcome outcome = run_in(environment(agent), {"backend", "drain", long_names.services[0].wanted.name,
                                                      "2001:db8:aaaa:bbbb:cccc:dddd:eeee:fff0", "--wait"});
  EXPECT_EQ(outcome.code, 0);
  EXPECT_NE(outcome.err.find("eeee:fff0: 8589934592 flows remain, 5s"), std::string::npos) << outcome.err;
  std::istringstream lines(outcome.err);
  for (std::string line; std::getline(lines, line, '\r');) EXPECT_LT(line.size(), 80U) << line;
}

TEST_F(Wait, BackendThatIsDeletedMeanwhileIsNotFound) {
  const auto without_backend = [](Seconds now) {
    api::Status made = seen(3, 0);
    if (now >= 5) made.services[0].backends.erase(made.services[0].backends.begin());
    return made;
  };
  const Outcome backend_gone = drain(without_backend);
  EXPECT_EQ(backend_gone.code, 4);
  EXPECT_EQ(backend_gone.out, kBegun);
  EXPECT_EQ(backend_gone.err,
            "sluice: web: backend 10.0.0.11 was deleted while it drained: its flows have ended\n");
  const Outcome service_gone = drain([](Seconds) { return api::Status(); });
  EXPECT_EQ(service_gone.code, 4);
  EXPECT_EQ(service_gone.err,
            "sluice: service 'web' was deleted while its backend 10.0.0.11 drained: its flows have ended\n");
}

TEST_F(Wait, BackendThatIsPutUpAgainMeanwhileIsAFailure) {
  const auto script = [](Seconds now) {
    return seen(0, 0, now < 5 ? model::BackendState::kDrain : model::BackendState::kUp);
  };
  const Outcome text = drain(script);
  EXPECT_EQ(text.code, 1);
  EXPECT_EQ(text.err,
            "sluice: web: backend 10.0.0.11 was put up again while it drained, and gets new flows: to go on, "
            "'sluice backend drain web 10.0.0.11'\n");
  passed_ = 0;
  const Outcome as_json = drain(script, {"--json"});
  EXPECT_EQ(as_json.code, 1);
  EXPECT_EQ(as_json.out, "");
  EXPECT_TRUE(json::parse(as_json.err).contains("error"));
}

TEST_F(Wait, OutlastsARestartOfTheAgent) {
  const auto script = [](Seconds now) {
    return now >= 5 && now < 34 ? std::nullopt : std::optional(seen(0, now < 34 ? 20 : 0));
  };
  const Outcome outcome = drain(script);
  EXPECT_EQ(outcome.code, 0) << outcome.err;
  EXPECT_EQ(passed(), 34);
}

TEST_F(Wait, EveryRestartIsGivenItsOwnTime) {
  const auto script = [](Seconds now) {
    return (now >= 5 && now < 30) || (now >= 31 && now < 60) ? std::nullopt
                                                             : std::optional(seen(now < 60 ? 1 : 0, 0));
  };
  EXPECT_EQ(drain(script).code, 0);
  EXPECT_EQ(passed(), 60);
}

TEST_F(Wait, GivesUpOnAnAgentThatDoesNotComeBack) {
  const Outcome outcome =
      drain([](Seconds now) { return now < 5 ? std::optional(seen(1, 0)) : std::nullopt; });
  EXPECT_EQ(outcome.code, 3);
  EXPECT_EQ(outcome.out, kBegun);
  EXPECT_TRUE(outcome.err.starts_with(
      "sluice: web: backend 10.0.0.11 drains on, but waiting for its flows failed: the agent closed"))
      << outcome.err;
  EXPECT_GE(passed(), 34);
  EXPECT_LE(passed(), 35);
}

TEST(CliDrain, RefusedChangeIsNotWaitedFor) {
  const Error refused{ErrorCode::kNotFound, "no service is named 'web'"};
  std::vector<Request> asked;
  const auto script = [&](const Request&) { return http_reply(404, api::encode(refused).dump()); };
  const Outcome outcome = run_against(script, {"backend", "drain", "web", "10.0.0.11", "--wait"}, &asked);
  EXPECT_EQ(outcome.code, 4);
  EXPECT_EQ(outcome.out, "");
  EXPECT_EQ(asked.size(), 1U);
}

TEST(CliDrain, ErrorOtherThanAnAbsentAgentEndsTheWaitAtOnce) {
  const Error refused{ErrorCode::kPermission, "not you"};
  std::vector<Request> asked;
  const auto script = [&](const Request& request) {
    return request.line == "GET /v1/status" ? http_reply(403, api::encode(refused).dump())
                                            : http_reply(200, kChanged);
  };
  const Outcome outcome = run_against(script, {"backend", "drain", "web", "10.0.0.11", "--wait"}, &asked);
  EXPECT_EQ(outcome.code, 6);
  EXPECT_EQ(asked.size(), 2U);
}

// ---- what goes wrong ----

TEST(CliError, ExitCodeSaysWhatTheAgentSaid) {
  const std::vector<std::pair<ErrorCode, int>> codes{
      {ErrorCode::kInvalid, 1},     {ErrorCode::kNotFound, 4},   {ErrorCode::kExists, 5},
      {ErrorCode::kNoSpace, 1},     {ErrorCode::kPermission, 6}, {ErrorCode::kUnsupported, 1},
      {ErrorCode::kUnavailable, 3}, {ErrorCode::kInternal, 1}};
  for (const auto& [code, expected] : codes) {
    const Error error{code, "that is how it is"};
    const auto script = [&](const Request&) {
      return http_reply(api::http_status(error.code), api::encode(error).dump());
    };
    const Outcome text = run_against(script, {"service", "del", "web"});
    EXPECT_EQ(text.code, expected);
    EXPECT_EQ(text.out, "");
    EXPECT_EQ(text.err, "sluice: that is how it is\n");
    const Outcome as_json = run_against(script, {"service", "del", "web", "--json"});
    EXPECT_EQ(as_json.code, expected);
    EXPECT_EQ(as_json.out, "");
    EXPECT_EQ(json::parse(as_json.err), api::encode(error));
  }
}

TEST(CliError, NoAgentIsThreeForEveryCommand) {
  std::vector<Args> all{{},
                        {"show"},
                        {"show", "web"},
                        {"show", "drops"},
                        {"show", "flows"},
                        {"show", "config"},
                        {"backend", "drain", "web", "10.0.0.11", "--wait"}};
  for (const Change& change : changes()) all.push_back(change.args);
  for (const Args& args : all) {
    const Outcome outcome = run_alone(args);
    EXPECT_EQ(outcome.code, 3) << joined(args);
    EXPECT_EQ(outcome.out, "");
    EXPECT_NE(outcome.err.find("no agent answers on /nonexistent/agent.sock: start it with"),
              std::string::npos);
  }
}

TEST(CliError, SocketOptionBeatsTheEnvironment) {
  EXPECT_NE(run_alone({"show", "--socket", "/elsewhere"}).err.find("/elsewhere"), std::string::npos);
}

TEST(CliError, WrongUsageIsFoundBeforeTheAgentIsCalled) {
  const std::vector<std::pair<Args, std::string>> cases{
      {{"serivce"}, "'serivce' is not understood here"},
      {{"--bogus"}, "--bogus"},
      {{"--socket", ""}, "--socket"},
      {{"--socket", std::string(108, 'x')}, "1 to 107 bytes"},
      {{"show", "web", "dns", "ftp"}, "'dns' is not"},
      {{"show", "Web"}, "'Web' is not a service name"},
      {{"show", "drops", "web"}, "leave the service out"},
      {{"show", "web", "config"}, "leave the service out"},
      {{"show", "web", "flows"}, "leave the service out"},
      {{"service", "web"}, "web"},
      {{"service", "add"}, "NAME is required"},
      {{"service", "add", "web", "tcp"}, "VIP:PORT is required"},
      {{"service", "add", "-web", "tcp", "192.0.2.1:80"}, "'-web' is not understood here"},
      {{"service", "add", "we b", "tcp", "192.0.2.1:80"}, "'we b' is not a service name"},
      {{"service", "add", "web", "icmp", "192.0.2.1:80"}, "write tcp or udp"},
      {{"service", "add", "web", "sctp", "192.0.2.1:80"}, "does not support: write tcp or udp"},
      {{"service", "add", "web", "tcp", "192.0.2.1"}, "is not address:port"},
      {{"service", "add", "web", "tcp", "192.0.2.1:0"}, "no port between 1 and 65535"},
      {{"service", "add", "web", "tcp", "239.1.1.1:80"}, "a multicast address"},
      {{"service", "add", "web", "tcp", "192.0.2.1:80", "--ring", "1000"}, "write 1024"},
      {{"service", "add", "web", "tcp", "192.0.2.1:80", "--ring", "many"}, "'many' is not a number of slots"},
      {{"service", "add", "web", "tcp", "192.0.2.1:80", "--ring", "0x400"},
       "'0x400' is not a number of slots"},
      {{"service", "add", "web", "tcp", "192.0.2.1:80", "--flows", "all"},
       "write auto, tracked or stateless"},
      {{"service", "add", "web", "tcp", "192.0.2.1:80", "--mode", "nat"}, "write ipip"},
      {{"service", "add", "web", "tcp", "192.0.2.1:80", "--hash", "source"},
       "write 5-tuple, source-ip or source-ip,port"},
      {{"service", "set", "web"}, "nothing to set: give --hash, --flows, --ring or several of them"},
      {{"service", "set", "Web", "--ring", "1024"}, "'Web' is not a service name"},
      {{"service", "set", "--ring", "1024"}, "NAME is required"},
      {{"service", "set", "web", "--hash", "maglev"}, "'maglev' is not a flow hash"},
      {{"service", "set", "web", "--flows", "none"}, "write auto, tracked or stateless"},
      {{"service", "set", "web", "--ring", "1000"}, "write 1024"},
      {{"service", "set", "web", "--ring", "-1"}, "'-1' is not a number of slots"},
      {{"service", "del"}, "NAME is required"},
      {{"service", "del", ""}, "'' is not a service name"},
      {{"backend", "add", "web"}, "ADDRESS is required"},
      {{"backend", "add", "web", "10.0.0.300"}, "'10.0.0.300' is not an IP address"},
      {{"backend", "add", "web", "127.0.0.1"}, "a loopback address"},
      {{"backend", "add", "web/x", "10.0.0.1"}, "'web/x' is not a service name"},
      {{"backend", "add", "web", "10.0.0.1", "--weight", "-1"}, "'-1' is not a weight"},
      {{"backend", "add", "web", "10.0.0.1", "--weight", "65536"}, "between 0 and 65535"},
      {{"backend", "add", "web", "10.0.0.1", "--weight", "4294967296"}, "between 0 and 65535"},
      {{"backend", "add", "web", "10.0.0.1", "--weight"}, "--weight"},
      {{"backend", "add", "web", "10.0.0.1", "--next-hop", "02:00"}, "'02:00' is not a next hop"},
      {{"backend", "add", "web", "10.0.0.1", "--next-hop", "01:00:5e:00:00:01"}, "a group address"},
      {{"backend", "add", "web", "10.0.0.1", "10.0.0.2"}, "10.0.0.2"},
      {{"backend", "set", "web", "10.0.0.1"}, "nothing to set: give --weight, --next-hop or both"},
      {{"backend", "set", "web", "10.0.0.1", "--weight", "1.5"}, "'1.5' is not a weight"},
      {{"backend", "set", "web", "10.0.0.1", "--next-hop", "00:00:00:00:00:00"}, "all zeros"},
      {{"backend", "drain", "web"}, "ADDRESS is required"},
      {{"backend", "drain", "web", "router"}, "'router' is not an IP address"},
      {{"backend", "drain", "web", "10.0.0.1", "--deadline", "0s"},
       "take the backend out at once with 'sluice backend down web 10.0.0.1'"},
      {{"backend", "drain", "web", "10.0.0.1", "--wait", "--quiet", "1d"}, "'1d' is not a duration"},
      {{"backend", "drain", "web", "10.0.0.1", "--quiet", "10s"}, "give --wait too"},
      {{"backend", "drain", "web", "10.0.0.1", "--deadline"}, "--deadline"},
      {{"backend", "down", "web"}, "ADDRESS is required"},
      {{"backend", "up", "web", "router"}, "'router' is not an IP address"},
      {{"backend", "undrain", "", "10.0.0.1"}, "'' is not a service name"},
      {{"backend", "del", "web", "10.0.0.1", "show"}, "show"},
  };
  for (const auto& [args, part] : cases) {
    const Outcome text = run_alone(args);
    EXPECT_EQ(text.code, 2) << joined(args);
    EXPECT_EQ(text.out, "") << joined(args);
    EXPECT_TRUE(text.err.starts_with("sluice: ")) << text.err;
    EXPECT_NE(text.err.find(part), std::string::npos) << joined(args) << ": " << text.err;
    EXPECT_NE(text.err.find("\nsee 'sluice"), std::string::npos) << text.err;

    Args with_json = args;
    with_json.insert(with_json.begin(), "--json");
    const Outcome as_json = run_alone(with_json);
    EXPECT_EQ(as_json.code, 2) << joined(with_json);
    const json error = json::parse(as_json.err, nullptr, false);
    ASSERT_TRUE(error.is_object()) << joined(with_json) << ": " << as_json.err;
    EXPECT_NE(error["error"]["code"], "internal");
    EXPECT_NE(error["error"]["message"].get<std::string>().find(part), std::string::npos) << as_json.err;
  }
}

TEST(CliError, DurationsAreWholeNumbersWithAKnownUnit) {
  for (const std::string text : {"", "s", "m", "1d", "-1s", "+1s", "1.5h", "1h30m", " 1s", "1s ", "1 s", "1S",
                                 "0x10", "10ms", "ten", "31536001", "8761h", "4294967296", "4294967295h"}) {
    const Outcome outcome = run_alone({"backend", "drain", "web", "10.0.0.1", "--deadline=" + text});
    EXPECT_EQ(outcome.code, 2) << text;
    if (text.empty()) continue;  // the parser of the line refuses it in its own words
    EXPECT_EQ(outcome.err,
              "sluice: '" + text +
                  "' is not a duration of up to a year: write a whole number of seconds, or one "
                  "with a unit, such as 90, 90s, 10m or 2h\nsee 'sluice backend drain --help'\n");
  }
}

TEST(CliError, HintNamesTheCommandThatWasMeant) {
  EXPECT_TRUE(
      run_alone({"backend", "set", "web", "10.0.0.1"}).err.ends_with("see 'sluice backend set --help'\n"));
  EXPECT_TRUE(run_alone({"service", "web"}).err.ends_with("see 'sluice service --help'\n"));
}

TEST(CliError, BytesThatAreNoTextStillMakeJson) {
  const Outcome outcome = run_alone({"--json", "\xff\xfe"});
  EXPECT_EQ(outcome.code, 2);
  EXPECT_FALSE(json::parse(outcome.err, nullptr, false).is_discarded()) << outcome.err;
}

// ---- help ----

const std::vector<Args> kCommands{
    {"show"},           {"show", "drops"},    {"show", "flows"},   {"show", "config"}, {"service"},
    {"service", "add"}, {"service", "set"},   {"service", "del"},  {"backend"},        {"backend", "add"},
    {"backend", "set"}, {"backend", "drain"}, {"backend", "down"}, {"backend", "up"},  {"backend", "undrain"},
    {"backend", "del"}};

TEST(CliHelp, RootNamesEveryCommandAndExitCode) {
  const Outcome outcome = run_alone({"--help"});
  EXPECT_EQ(outcome.code, 0);
  EXPECT_EQ(outcome.err, "");
  for (const char* part : {"  show [SERVICE]  ",
                           "  show drops  ",
                           "  show config  ",
                           "  service add NAME PROTOCOL VIP:PORT\n",
                           "  show flows  ",
                           "  service set NAME  ",
                           "  backend down SERVICE ADDRESS  ",
                           "  backend up SERVICE ADDRESS  ",
                           "  service del NAME  ",
                           "  backend add SERVICE ADDRESS  ",
                           "  backend set SERVICE ADDRESS  ",
                           "  backend drain SERVICE ADDRESS  ",
                           "  backend undrain SERVICE ADDRESS  ",
                           "  backend del SERVICE ADDRESS  ",
                           "--socket PATH",
                           "--json",
                           "--version",
                           "SLUICE_SOCKET",
                           "NO_COLOR",
                           "Exit codes:",
                           "  6  permission denied"})
    EXPECT_NE(outcome.out.find(part), std::string::npos) << part << " is not in\n" << outcome.out;
}

TEST(CliHelp, EveryCommandTeachesByExampleAndFitsTheTerminal) {
  for (const Args& command : kCommands) {
    Args args = command;
    args.push_back("--help");
    const Outcome outcome = run_alone(args);
    EXPECT_EQ(outcome.code, 0) << joined(args);
    EXPECT_NE(outcome.out.find("Usage: " + joined(command)), std::string::npos) << outcome.out;
    EXPECT_NE(outcome.out.find("Examples:\n  " + joined(command)), std::string::npos) << outcome.out;
    expect_narrow(outcome.out);
  }
  expect_narrow(run_alone({"--help"}).out);
}

// What stands on an example's line is a command that parses: it only fails for want of an agent.
TEST(CliHelp, ExamplesAreRight) {
  unsigned tried = 0;
  std::vector<Args> all = kCommands;
  all.push_back({});
  for (Args args : all) {
    args.push_back("--help");
    const std::string help = run_alone(args).out;
    std::istringstream lines(help.substr(help.find("Examples:")));
    for (std::string line; std::getline(lines, line);) {
      const size_t start = line.find("sluice ");
      if (start == std::string::npos) continue;
      std::erase(line, '\'');
      line = line.substr(start + 7, line.find_first_of("|>") - start - 7);
      line = line.substr(0, line.find("    "));  // a remark
      std::istringstream words(line);
      const Args example{std::istream_iterator<std::string>(words), {}};
      const Outcome outcome = run_alone(example);
      EXPECT_EQ(outcome.code, 3) << line << ": " << outcome.err;
      ++tried;
    }
  }
  EXPECT_GT(tried, 25U);
}

TEST(CliHelp, VersionIsOneLineOrOneDocument) {
  const Outcome text = run_alone({"--version"});
  EXPECT_EQ(text.code, 0);
  EXPECT_TRUE(text.out.starts_with("sluice ")) << text.out;
  const Outcome as_json = run_alone({"--version", "--json"});
  EXPECT_EQ(as_json.code, 0);
  EXPECT_EQ("sluice " + json::parse(as_json.out)["version"].get<std::string>() + "\n", text.out);
}

}  // namespace
}  // namespace sluice::cli
