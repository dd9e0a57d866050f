// The whole command in this process, against a scripted agent: what a person sees, what a script gets, what
// the agent is asked, and the exit code of every way to go wrong.
#include "cli/run.h"

#include <gtest/gtest.h>

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

Outcome run_at(const std::string& socket, const Args& args, bool colours = false) {
  std::ostringstream out;
  std::ostringstream err;
  Environment environment;
  environment.socket = socket;
  environment.colours = colours;
  environment.limit = std::chrono::seconds(5);
  const int code = run(args, out, err, environment);
  return {code, out.str(), err.str()};
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
                      backend("2001:db8:aaaa:bbbb:cccc:dddd:eeee:ffff", 0, {})};
  service.backends[0].wanted.weight = 2;
  service.backends[1].wanted.state = model::BackendState::kDrain;
  service.backends[2].path = api::PathState::kUnresolved;
  service.backends[2].path_detail =
      "no answer from 10.0.0.254 on eth1 (asked 12 times): is the router up, and the address the right one?";
  service.backends[3].path = api::PathState::kUnresolved;
  service.backends[3].path_detail = "no route";
  service.backends[3].wanted.state = model::BackendState::kDrain;
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

SERVICE AND BACKENDS          WEIGHT  STATE         RING    PACKETS         BITS
web  tcp 192.0.2.1:80                                      1.2k pps   3.4 Mbit/s
  21845 of 65536 slots keep older flows where they are
  10.0.0.11                        2  up           66.7%    800 pps   2.4 Mbit/s
  10.0.0.12                        1  drain         0.0%    434 pps   1.0 Mbit/s
  10.0.0.13                        1  unresolved   33.3%      0 pps      0 bit/s
      no answer from 10.0.0.254 on eth1 (asked 12 times): is the router up, and
      the address the right one?
  2001:db8:aaaa:bbbb:cccc:dddd:eeee:ffff
                                   1  drain         0.0%      0 pps      0 bit/s
      unresolved: no route
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
  mode ipip, flows auto, ring of 65536 slots
  21845 of 65536 slots keep older flows where they are
  5000000 packets, 1.2 GB since it was added
  10.0.0.11                        2  up           66.7%    800 pps   2.4 Mbit/s
      via 10.0.0.254 on eth1
  10.0.0.12                        1  drain         0.0%    434 pps   1.0 Mbit/s
      via 10.0.0.254 on eth1
  10.0.0.13                        1  unresolved   33.3%      0 pps      0 bit/s
      no answer from 10.0.0.254 on eth1 (asked 12 times): is the router up, and
      the address the right one?
  2001:db8:aaaa:bbbb:cccc:dddd:eeee:ffff
                                   1  drain         0.0%      0 pps      0 bit/s
      unresolved: no route
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
  const Outcome outcome = run_ok({"show", "--", "drops"});
  EXPECT_EQ(outcome.code, 4);
  EXPECT_NE(outcome.err.find("no service is called 'drops'"), std::string::npos) << outcome.err;
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
}

TEST(CliShow, ColoursOnlyWhereTheyAreWanted) {
  EXPECT_EQ(std::string(kOverview).find('\x1b'), std::string::npos);
  const std::string out = run_against(answer, {"show"}, nullptr, true).out;
  EXPECT_NE(out.find("\x1b[32mup        \x1b[0m"), std::string::npos);
  EXPECT_NE(out.find("\x1b[33mdrain     \x1b[0m"), std::string::npos);
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
  std::vector<Args> all{{}, {"show"}, {"show", "web"}, {"show", "drops"}, {"show", "config"}};
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
    {"show"},           {"show", "drops"},    {"show", "config"}, {"service"},
    {"service", "add"}, {"service", "del"},   {"backend"},        {"backend", "add"},
    {"backend", "set"}, {"backend", "drain"}, {"backend", "del"}, {"backend", "undrain"}};

TEST(CliHelp, RootNamesEveryCommandAndExitCode) {
  const Outcome outcome = run_alone({"--help"});
  EXPECT_EQ(outcome.code, 0);
  EXPECT_EQ(outcome.err, "");
  for (const char* part :
       {"  show [SERVICE]  ", "  show drops  ", "  show config  ", "  service add NAME PROTOCOL VIP:PORT\n",
        "  service del NAME  ", "  backend add SERVICE ADDRESS  ", "  backend set SERVICE ADDRESS  ",
        "  backend drain SERVICE ADDRESS  ", "  backend undrain SERVICE ADDRESS  ",
        "  backend del SERVICE ADDRESS  ", "--socket PATH", "--json", "--version", "SLUICE_SOCKET",
        "NO_COLOR", "Exit codes:", "  6  permission denied"})
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
