// Requests as the API takes them, and as it refuses them.
#include "agent/routes.h"

#include <gtest/gtest.h>

#include <chrono>

namespace sluice::agent {
namespace {

template <typename Wanted>
Wanted understood(std::string_view method, std::string_view target, std::string_view body = "") {
  auto request = parse_request(method, target, body);
  if (!request.ok() || !std::holds_alternative<Wanted>(*request)) {
    ADD_FAILURE() << method << " " << target << ": "
                  << (request.ok() ? "another request" : request.error().message);
    return {};
  }
  return std::get<Wanted>(std::move(request).value());
}

TEST(Routes, AnswerWhatIsThere) {
  understood<GetStatus>("GET", "/v1/status");
  understood<GetConfig>("GET", "/v1/config");
  understood<GetStatus>("GET", "/v1/status?pretty=1");
  understood<GetStatus>("GET", "/v1/%73tatus");
}

TEST(Routes, TakeServices) {
  const auto add = understood<AddService>("POST", "/v1/services", R"({"name": "web", "vip": "192.0.2.1:80",
      "protocol": "tcp", "ring": 1024, "backends": [{"address": "10.0.0.1", "weight": 3}]})");
  EXPECT_EQ(add.service.name, "web");
  EXPECT_EQ(add.service.ring_slots, 1024u);
  ASSERT_EQ(add.service.backends.size(), 1u);
  EXPECT_EQ(add.service.backends[0].weight, 3u);
  EXPECT_EQ(understood<DeleteService>("DELETE", "/v1/services/web").name, "web");
}

TEST(Routes, TakeChangesOfAService) {
  const auto change = understood<ChangeService>("PATCH", "/v1/services/w%20b",
                                                R"({"hash": "source-ip", "flows": "tracked", "ring": 1024})");
  EXPECT_EQ(change.name, "w b");
  EXPECT_EQ(change.change.hash, model::FlowHash::kSourceIp);
  EXPECT_EQ(change.change.flows, model::FlowTracking::kTracked);
  EXPECT_EQ(change.change.ring_slots, 1024u);
  const auto nothing = understood<ChangeService>("PATCH", "/v1/services/web", "{}");
  EXPECT_FALSE(nothing.change.hash || nothing.change.flows || nothing.change.ring_slots);
}

TEST(Routes, TakeBackends) {
  const auto add = understood<AddBackend>("POST", "/v1/services/web/backends", R"({"address": "10.0.0.1"})");
  EXPECT_EQ(add.service, "web");
  EXPECT_EQ(add.backend.address.to_string(), "10.0.0.1");
  const auto gone = understood<DeleteBackend>("DELETE", "/v1/services/web/backends/10.0.0.1");
  EXPECT_EQ(gone.service, "web");
  EXPECT_EQ(gone.address.to_string(), "10.0.0.1");
}

TEST(Routes, TakeChangesOfABackend) {
  const auto change = understood<ChangeBackend>("PATCH", "/v1/services/web/backends/2001:db8::1",
                                                R"({"weight": 0, "state": "drain", "next_hop": "auto"})");
  EXPECT_EQ(change.service, "web");
  EXPECT_EQ(change.address.to_string(), "2001:db8::1");
  EXPECT_EQ(change.change.weight, 0u);
  EXPECT_EQ(change.change.state, model::BackendState::kDrain);
  ASSERT_TRUE(change.change.next_hop.has_value());
  EXPECT_FALSE(change.change.next_hop->has_value());
  const auto nothing = understood<ChangeBackend>("PATCH", "/v1/services/web/backends/10.0.0.1", "{}");
  EXPECT_FALSE(nothing.change.weight || nothing.change.state || nothing.change.next_hop);
  const auto drain = understood<ChangeBackend>("PATCH", "/v1/services/web/backends/10.0.0.1",
                                               R"({"state": "drain", "drain_until": 1767225600})");
  EXPECT_EQ(drain.change.drain_until, 1767225600u);
}

TEST(Routes, DecodeWhatIsEscapedInASegment) {
  EXPECT_EQ(understood<DeleteService>("DELETE", "/v1/services/a%20b").name, "a b");
  EXPECT_EQ(understood<DeleteService>("DELETE", "/v1/services/a%2Fb").name, "a/b") << "one segment, not two";
  EXPECT_EQ(understood<DeleteService>("DELETE", "/v1/services/a%3fb?x").name, "a?b");
  EXPECT_EQ(understood<DeleteService>("DELETE", "/v1/services/%41").name, "A");
  EXPECT_EQ(understood<DeleteService>("DELETE", "/v1/services/%C3%A4").name, "\xc3\xa4");
  EXPECT_EQ(
      understood<DeleteBackend>("DELETE", "/v1/services/w/backends/2001%3Adb8%3A%3A1").address.to_string(),
      "2001:db8::1");
}

struct Refused {
  const char* method;
  std::string target;
  std::string body;
  ErrorCode code;
};

class RefusedRequest : public testing::TestWithParam<Refused> {};

TEST_P(RefusedRequest, SaysWhy) {
  const auto& [method, target, body, code] = GetParam();
  const auto request = parse_request(method, target, body);
  ASSERT_FALSE(request.ok()) << method << " " << target << " " << body;
  EXPECT_EQ(request.error().code, code) << method << " " << target << ": " << request.error().message;
  EXPECT_FALSE(request.error().message.empty());
}

constexpr auto kNoRoute = ErrorCode::kNotFound;
constexpr auto kNotThisMethod = ErrorCode::kUnsupported;
constexpr auto kInvalid = ErrorCode::kInvalid;

INSTANTIATE_TEST_SUITE_P(
    Target, RefusedRequest,
    testing::Values(Refused{"GET", "/", "", kNoRoute}, Refused{"GET", "/v1", "", kNoRoute},
                    Refused{"GET", "/v1/", "", kNoRoute}, Refused{"GET", "/v2/status", "", kNoRoute},
                    Refused{"GET", "/status", "", kNoRoute}, Refused{"GET", "/v1/status/", "", kNoRoute},
                    Refused{"GET", "/v1//status", "", kNoRoute}, Refused{"GET", "//v1/status", "", kNoRoute},
                    Refused{"GET", "/v1/Status", "", kNoRoute}, Refused{"GET", "/v1/status/x", "", kNoRoute},
                    Refused{"GET", "/v1/../v1/status", "", kNoRoute},
                    Refused{"GET", "/v1%2Fstatus", "", kNoRoute},
                    Refused{"POST", "/v1/services/web/backend", "{}", kNoRoute},
                    Refused{"POST", "/v1/services/web/backends/10.0.0.1/x", "{}", kNoRoute},
                    Refused{"GET", "", "", kInvalid}, Refused{"GET", "*", "", kInvalid},
                    Refused{"GET", "?/v1/status", "", kInvalid},
                    Refused{"GET", "http://host/v1/status", "", kInvalid},
                    Refused{"GET", "/v1/%", "", kInvalid}, Refused{"GET", "/v1/%7", "", kInvalid},
                    Refused{"GET", "/v1/%zz", "", kInvalid}, Refused{"GET", "/v1/%-1", "", kInvalid},
                    Refused{"GET", "/v1/% 1", "", kInvalid}, Refused{"GET", "/v1/%1/", "", kInvalid},
                    Refused{"DELETE", "/v1/services/web/backends/", "", kInvalid},
                    Refused{"DELETE", "/v1/services/web/backends/10.0.0", "", kInvalid},
                    Refused{"DELETE", "/v1/services/web/backends/10.0.0.1%00", "", kInvalid},
                    Refused{"PATCH", "/v1/services/web/backends/10.0.0.1:80", "{}", kInvalid}));

INSTANTIATE_TEST_SUITE_P(
    Method, RefusedRequest,
    testing::Values(Refused{"POST", "/v1/status", "", kNotThisMethod},
                    Refused{"DELETE", "/v1/config", "", kNotThisMethod},
                    Refused{"PUT", "/v1/config", "{}", kNotThisMethod},
                    Refused{"get", "/v1/status", "", kNotThisMethod},
                    Refused{"", "/v1/status", "", kNotThisMethod},
                    Refused{"HEAD", "/v1/status", "", kNotThisMethod},
                    Refused{"GET", "/v1/services", "", kNotThisMethod},
                    Refused{"GET", "/v1/services/web", "", kNotThisMethod},
                    Refused{"PUT", "/v1/services/web", "{}", kNotThisMethod},
                    Refused{"GET", "/v1/services/web/backends", "", kNotThisMethod},
                    Refused{"PUT", "/v1/services/web/backends/10.0.0.1", "{}", kNotThisMethod},
                    Refused{"GET", "/v1/services/web/backends/10.0.0.1", "", kNotThisMethod}));

const std::string kService = "/v1/services", kWeb = "/v1/services/web",
                  kBackends = "/v1/services/web/backends", kBackend = "/v1/services/web/backends/10.0.0.1";

INSTANTIATE_TEST_SUITE_P(
    Body, RefusedRequest,
    testing::Values(
        Refused{"POST", kService, "", kInvalid}, Refused{"POST", kService, "name: web", kInvalid},
        Refused{"POST", kService, "[]", kInvalid}, Refused{"POST", kService, "null", kInvalid},
        Refused{"POST", kService, "{}", kInvalid},
        Refused{"POST", kService, R"({"name": "web", "vip": "192.0.2.1:80", "protocol": "tcp"} x)", kInvalid},
        Refused{"POST", kService, R"({"name": "web", "vip": "192.0.2.1:80", "protocol": "tcp", "colour": 1})",
                kInvalid},
        Refused{"POST", kService, R"({"name": "a", "name": "b", "vip": "192.0.2.1:80", "protocol": "tcp"})",
                kInvalid},
        Refused{"POST", kService, R"({"name": "web", "vip": "224.0.0.1:80", "protocol": "tcp"})", kInvalid},
        Refused{"POST", kService, "\xff\xfe{}", kInvalid}, Refused{"POST", kBackends, "{}", kInvalid},
        Refused{"POST", kBackends, R"({"address": "10.0.0"})", kInvalid},
        Refused{"POST", kBackends, R"({"address": "10.0.0.1", "weight": -1})", kInvalid},
        Refused{"PATCH", kWeb, "", kInvalid}, Refused{"PATCH", kWeb, "[]", kInvalid},
        Refused{"PATCH", kWeb, R"({"name": "b"})", kInvalid},
        Refused{"PATCH", kWeb, R"({"hash": "source-mac"})", kInvalid},
        Refused{"PATCH", kWeb, R"({"ring": 1024, "ring": 2048})", kInvalid},
        Refused{"PATCH", kBackend, R"({"drain_until": "10m"})", kInvalid},
        Refused{"PATCH", kBackend, "", kInvalid}, Refused{"PATCH", kBackend, "3", kInvalid},
        Refused{"PATCH", kBackend, R"({"address": "10.0.0.2"})", kInvalid},
        Refused{"PATCH", kBackend, R"({"weight": "heavy"})", kInvalid},
        Refused{"PATCH", kBackend, R"({"weight": 1, "weight": 2})", kInvalid},
        Refused{"PATCH", kBackend, R"({"state": "off"})", kInvalid},
        Refused{"PATCH", kBackend, R"({"next_hop": "10.0.0.1"})", kInvalid}));

// All else waits while a body is read.
TEST(Routes, DoNotLetABodyOfManyBracketsStopTheAgent) {
  for (const std::string unit : {"[", "{\"a\":", "[[],", "0,"}) {
    std::string body = "[";
    while (body.size() + unit.size() <= api::kMaxBodyBytes) body += unit;
    const auto start = std::chrono::steady_clock::now();
    EXPECT_FALSE(parse_request("POST", "/v1/services", body).ok());
    EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(5)) << unit;
  }
}

// Whatever the bytes: an answer, no crash.
TEST(Routes, SurviveEveryPrefixAndEveryByteOfARequest) {
  const std::string target = "/v1/services/w%20b/backends/2001:db8::1?q";
  const std::string body = R"({"weight": 3, "state": "drain", "next_hop": "02:00:00:00:00:01"})";
  for (size_t size = 0; size <= target.size(); ++size)
    (void)parse_request("PATCH", target.substr(0, size), body);
  for (size_t size = 0; size < body.size(); ++size)
    EXPECT_FALSE(parse_request("PATCH", kBackend, body.substr(0, size)).ok());
  for (size_t at = 0; at < target.size(); ++at)
    for (int byte = 0; byte < 256; ++byte) {
      std::string changed = target;
      changed[at] = static_cast<char>(byte);
      (void)parse_request("PATCH", changed, body);
    }
}

}  // namespace
}  // namespace sluice::agent
