// The API's JSON: what is written is read back as it was, and whatever else comes is refused with its place.
#include "api/messages.h"

#include <gtest/gtest.h>

#include <set>

namespace sluice::api {
namespace {

using nlohmann::json;

BackendStatus backend_status() {
  BackendStatus backend;
  backend.wanted.address = *IpAddress::parse("2001:db8::11");
  backend.wanted.weight = 2;
  backend.wanted.state = model::BackendState::kDrain;
  backend.wanted.next_hop = *MacAddress::parse("02:00:5e:00:53:01");
  backend.id = 7;
  backend.slots = 21845;
  backend.path = PathState::kResolved;
  backend.path_detail = "via fe80::1 on eth1";
  backend.wanted.drain_until = 1767225600;
  backend.flows = 1ULL << 40;
  backend.origin_slots = 1234;
  backend.traffic = {.packets = ~0ULL, .bytes = 1, .packets_per_second = 0.5, .bytes_per_second = 1e9};
  return backend;
}

Status full_status() {
  Status status;
  status.version = "0.1.0";
  status.revision = 12;
  status.uptime_seconds = 3.25;
  status.interfaces = {{.name = "eth0", .native = true, .shared = false, .remark = ""},
                       {.name = "eth1", .native = false, .shared = true, .remark = "the driver has none"}};
  ServiceStatus service;
  service.wanted.name = "web";
  service.wanted.vip = *Endpoint::parse("[2001:db8::1]:80");
  service.wanted.protocol = model::Protocol::kUdp;
  service.wanted.hash = model::FlowHash::kSourceIp;
  service.wanted.flows = model::FlowTracking::kStateless;
  service.wanted.ring_slots = 1024;
  service.tracked_slots = 3;
  service.traffic.packets = 9;
  service.backends = {backend_status()};
  status.services = {service};
  status.reasons = {
      {.name = "no_backend", .text = "the service has no live backend", .drops = true, .traffic = {}}};
  status.flow_table = {
      .entries = 77,
      .capacity = 262144,
      .age_seconds = 0.5,
      .counters = {{.name = "full", .text = "no place", .drops = false, .traffic = {.packets = 3}}}};
  return status;
}

TEST(Messages, StatusIsReadAsItWasWritten) {
  for (const Status& status : {full_status(), Status()}) {
    const auto again = decode_status(json::parse(encode(status).dump()));
    ASSERT_TRUE(again.ok()) << again.error().message;
    EXPECT_EQ(*again, status);
  }
}

TEST(Messages, StatusSpellingIsFixed) {
  const json encoded = encode(full_status());
  EXPECT_EQ(encoded["services"][0], json::parse(R"({
    "wanted": {"name": "web", "vip": "[2001:db8::1]:80", "protocol": "udp", "hash": "source-ip", "flows": "stateless",
               "ring": 1024},
    "tracked_slots": 3,
    "traffic": {"packets": 9, "bytes": 0, "packets_per_second": 0.0, "bytes_per_second": 0.0},
    "backends": [{
      "wanted": {"address": "2001:db8::11", "weight": 2, "state": "drain", "next_hop": "02:00:5e:00:53:01",
                 "drain_until": 1767225600},
      "id": 7, "slots": 21845, "path": "resolved", "path_detail": "via fe80::1 on eth1",
      "flows": 1099511627776, "origin_slots": 1234,
      "traffic": {"packets": 18446744073709551615, "bytes": 1, "packets_per_second": 0.5,
                  "bytes_per_second": 1000000000.0}}]})"));
  EXPECT_EQ(encoded["flow_table"], json::parse(R"({
    "entries": 77, "capacity": 262144, "age_seconds": 0.5,
    "counters": [{"name": "full", "text": "no place", "drops": false, "answers": false,
                  "traffic": {"packets": 3, "bytes": 0, "packets_per_second": 0.0, "bytes_per_second": 0.0}}]})"));
}

TEST(Messages, StatusOfAnAgentWithoutAFlowTableIsRefused) {
  json encoded = encode(full_status());
  encoded.erase("flow_table");
  EXPECT_EQ(decode_status(encoded).error().message, "flow_table: missing");
}

TEST(Messages, BackendsOfTheWantedServiceAreNotWrittenTwice) {
  ServiceStatus service = full_status().services[0];
  service.wanted.backends = {backend_status().wanted};
  EXPECT_FALSE(encode(service)["wanted"].contains("backends"));
}

TEST(Messages, StatusMayHoldKeysOfALaterVersion) {
  json encoded = encode(full_status());
  encoded["later"] = 1;
  encoded["services"][0]["later"] = json::array();
  EXPECT_TRUE(decode_status(encoded).ok());
}

// Every value of a status is taken away, and replaced by each kind of value that it is not.
TEST(Messages, StatusThatMissesAValueOrHoldsAnotherKindIsRefused) {
  const json good = encode(full_status());
  const json values = good.flatten();
  unsigned tried = 0;
  for (const auto& [pointer, value] : values.items()) {
    if (pointer.find("/wanted/") != std::string::npos) continue;  // the model's codec has its own test
    const json::json_pointer at(pointer);
    json missing = good;
    missing[at.parent_pointer()].erase(at.back());
    EXPECT_FALSE(decode_status(missing).ok()) << "without " << pointer;
    for (const json& wrong :
         {json(nullptr), json(json::array()), json(json::object()), json(-1), json("x"), json(true)}) {
      if (wrong.type() == value.type()) continue;
      json broken = good;
      broken[at] = wrong;
      const auto result = decode_status(broken);
      ASSERT_FALSE(result.ok()) << pointer << " as " << wrong.dump();
      EXPECT_EQ(result.error().code, ErrorCode::kInvalid);
      ++tried;
    }
  }
  EXPECT_GT(tried, 100U);
}

TEST(Messages, RefusedStatusNamesThePlace) {
  json encoded = encode(full_status());
  encoded["services"][0]["backends"][0]["traffic"].erase("bytes");
  EXPECT_EQ(decode_status(encoded).error().message,
            "services: entry 0: backends: entry 0: traffic: bytes: missing");
}

TEST(Messages, NumbersThatDoNotFitAreRefused) {
  json encoded = encode(full_status());
  encoded["services"][0]["tracked_slots"] = 1ULL << 32;
  EXPECT_EQ(decode_status(encoded).error().message, "services: entry 0: tracked_slots: a number too large");
}

TEST(Messages, BackendChangeKeepsWhatIsAbsentApartFromWhatIsEmpty) {
  model::BackendChange change;
  EXPECT_EQ(encode(change), json::object());
  EXPECT_FALSE(decode_backend_change(json::object())->next_hop.has_value());

  change.weight = 0;
  change.state = model::BackendState::kDrain;
  change.next_hop.emplace();  // present and empty: back to the default
  EXPECT_EQ(encode(change), json::parse(R"({"weight": 0, "state": "drain", "next_hop": "auto"})"));
  const auto again = decode_backend_change(encode(change));
  ASSERT_TRUE(again.ok()) << again.error().message;
  EXPECT_EQ(again->weight, 0U);
  EXPECT_EQ(again->state, model::BackendState::kDrain);
  ASSERT_TRUE(again->next_hop.has_value());
  EXPECT_FALSE(again->next_hop->has_value());

  change.next_hop = *MacAddress::parse("02:00:5e:00:53:01");
  EXPECT_EQ(decode_backend_change(encode(change))->next_hop, change.next_hop);
}

TEST(Messages, BackendChangeCarriesTheEndOfADrain) {
  model::BackendChange change;
  change.state = model::BackendState::kDrain;
  change.drain_until = 1767225600;
  EXPECT_EQ(encode(change), json::parse(R"({"state": "drain", "drain_until": 1767225600})"));
  EXPECT_EQ(decode_backend_change(encode(change))->drain_until, 1767225600U);
  EXPECT_FALSE(decode_backend_change(json::object())->drain_until.has_value());
}

TEST(Messages, ServiceChangeKeepsWhatIsAbsentAbsent) {
  model::ServiceChange change;
  EXPECT_EQ(encode(change), json::object());
  const auto nothing = decode_service_change(json::object());
  ASSERT_TRUE(nothing.ok());
  EXPECT_FALSE(nothing->hash || nothing->flows || nothing->ring_slots);

  change.hash = model::FlowHash::kSourceIpPort;
  change.flows = model::FlowTracking::kTracked;
  change.ring_slots = 131072;
  EXPECT_EQ(encode(change), json::parse(R"({"hash": "source-ip,port", "flows": "tracked", "ring": 131072})"));
  const auto again = decode_service_change(encode(change));
  ASSERT_TRUE(again.ok()) << again.error().message;
  EXPECT_EQ(again->hash, change.hash);
  EXPECT_EQ(again->flows, change.flows);
  EXPECT_EQ(again->ring_slots, change.ring_slots);
}

TEST(Messages, ServiceChangeIsStrict) {
  for (const char* text :
       {R"([])", R"(null)", R"({"name": "b"})", R"({"vip": "192.0.2.1:80"})", R"({"hash": "5tuple"})",
        R"({"hash": null})", R"({"hash": ["source-ip"]})", R"({"flows": "all"})", R"({"flows": true})",
        R"({"ring": "1024"})", R"({"ring": -1024})", R"({"ring": 1024.0})", R"({"ring": 255})",
        R"({"ring": 4194305})", R"({"ring": 4294967552})", R"({"ring_slots": 1024})"}) {
    const auto result = decode_service_change(json::parse(text));
    ASSERT_FALSE(result.ok()) << text;
    EXPECT_EQ(result.error().code, ErrorCode::kInvalid) << text;
  }
  EXPECT_EQ(decode_service_change(json::parse(R"({"rings": 1})")).error().message,
            "'rings': unknown key: the keys here are hash, flows, ring");
  EXPECT_EQ(decode_service_change(json::parse(R"({"ring": 1})")).error().message,
            "'ring': not a whole number between 256 and 4194304");
}

TEST(Messages, BackendChangeIsStrict) {
  for (const char* text :
       {R"([])", R"(null)", R"({"wieght": 1})", R"({"address": "10.0.0.1"})", R"({"weight": "1"})",
        R"({"weight": -1})", R"({"weight": 65536})", R"({"weight": 1.5})", R"({"weight": null})",
        R"({"state": "off"})", R"({"state": 1})", R"({"drain_until": "1767225600"})",
        R"({"drain_until": -1})", R"({"drain_until": 1.5})", R"({"drain_until": null})",
        R"({"drain_until": 1767225600000})", R"({"next_hop": null})", R"({"next_hop": ""})",
        R"({"next_hop": "02:00"})"}) {
    const auto result = decode_backend_change(json::parse(text));
    ASSERT_FALSE(result.ok()) << text;
    EXPECT_EQ(result.error().code, ErrorCode::kInvalid) << text;
  }
  EXPECT_EQ(decode_backend_change(json::parse(R"({"weight": 65536})")).error().message,
            "'weight': not a whole number between 0 and 65535");
}

TEST(Messages, ChangedIsReadAsItWasWritten) {
  const Changed changed{.revision = 1ULL << 40, .slots = 65536, .moved = 21845, .tracked = 21840};
  EXPECT_EQ(*decode_changed(encode(changed)), changed);
  EXPECT_FALSE(decode_changed(json::object()).ok());
  EXPECT_FALSE(decode_changed(json("x")).ok());
}

TEST(Messages, EveryErrorCodeHasItsWordAndStatus) {
  std::set<std::string_view> words;
  std::set<unsigned> statuses;
  for (const ErrorCode code :
       {ErrorCode::kInvalid, ErrorCode::kNotFound, ErrorCode::kExists, ErrorCode::kNoSpace,
        ErrorCode::kPermission, ErrorCode::kUnsupported, ErrorCode::kUnavailable, ErrorCode::kInternal}) {
    words.insert(to_string(code));
    statuses.insert(http_status(code));
    const Error again = decode_error(encode(Error{code, "because"}));
    EXPECT_EQ(again.code, code);
    EXPECT_EQ(again.message, "because");
  }
  EXPECT_EQ(words.size(), 8U);
  EXPECT_EQ(statuses.size(), 8U);
  EXPECT_GE(*statuses.begin(), 400U);
  EXPECT_LE(*statuses.rbegin(), 599U);
}

TEST(Messages, WhateverComesAsAnErrorIsOne) {
  for (const char* text : {"null", "[]", "{}", R"({"error": 1})", R"({"error": {"code": 1, "message": "x"}})",
                           R"({"error": {"code": "exists"}})"})
    EXPECT_EQ(decode_error(json::parse(text)).code, ErrorCode::kInternal) << text;
  const Error later =
      decode_error(json::parse(R"({"error": {"code": "of_a_later_version", "message": "x"}})"));
  EXPECT_EQ(later.code, ErrorCode::kInternal);
  EXPECT_EQ(later.message, "x");
}

}  // namespace
}  // namespace sluice::api
