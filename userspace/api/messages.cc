#include "api/messages.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <limits>

#include "model/codec.h"

namespace sluice::api {
namespace {

using nlohmann::json;

Error invalid(std::string message) {
  return Error{ErrorCode::kInvalid, std::move(message)};
}

// ---- words ----

struct CodeWord {
  ErrorCode code;
  std::string_view word;
  unsigned http_status;
};
constexpr std::array kCodeWords{CodeWord{ErrorCode::kInvalid, "invalid", 400},
                                CodeWord{ErrorCode::kNotFound, "not_found", 404},
                                CodeWord{ErrorCode::kExists, "exists", 409},
                                CodeWord{ErrorCode::kNoSpace, "no_space", 507},
                                CodeWord{ErrorCode::kPermission, "permission", 403},
                                CodeWord{ErrorCode::kUnsupported, "unsupported", 501},
                                CodeWord{ErrorCode::kUnavailable, "unavailable", 503},
                                CodeWord{ErrorCode::kInternal, "internal", 500}};

const CodeWord& code_word(ErrorCode code) {
  const auto found = std::ranges::find(kCodeWords, code, &CodeWord::code);
  assert(found != kCodeWords.end());
  return *found;
}

std::string_view path_word(PathState path) {
  return path == PathState::kResolved ? "resolved" : "unresolved";
}

// ---- writing ----

json encode_traffic(const Traffic& traffic) {
  return {{"packets", traffic.packets},
          {"bytes", traffic.bytes},
          {"packets_per_second", traffic.packets_per_second},
          {"bytes_per_second", traffic.bytes_per_second}};
}

json encode_backend(const BackendStatus& backend) {
  return {{"wanted", model::encode(backend.wanted)},
          {"id", backend.id},
          {"slots", backend.slots},
          {"path", path_word(backend.path)},
          {"path_detail", backend.path_detail},
          {"flows", backend.flows},
          {"origin_slots", backend.origin_slots},
          {"traffic", encode_traffic(backend.traffic)}};
}

json encode_interface(const InterfaceStatus& interface) {
  return {{"name", interface.name},
          {"native", interface.native},
          {"shared", interface.shared},
          {"remark", interface.remark}};
}

template <typename T, typename Encode>
json encode_all(const std::vector<T>& entries, Encode encode_one) {
  json list = json::array();
  for (const T& entry : entries) list.push_back(encode_one(entry));
  return list;
}

json encode_flow_table(const FlowTableStatus& table) {
  return {{"entries", table.entries},
          {"capacity", table.capacity},
          {"age_seconds", table.age_seconds},
          {"counters", encode_all(table.counters, [](const ReasonStatus& one) { return encode(one); })}};
}

// ---- reading ----
//
// A reply may hold keys that this version does not know: the agent can be the newer one. Requests are strict.

Result<> read(const json& value, bool& out) {
  if (!value.is_boolean()) return invalid("neither true nor false");
  out = value.get<bool>();
  return ok();
}

Result<> read(const json& value, std::string& out) {
  if (!value.is_string()) return invalid("not text");
  out = value.get_ref<const std::string&>();
  return ok();
}

Result<> read(const json& value, double& out) {
  if (!value.is_number() || value.get<double>() < 0) return invalid("not a number of 0 or more");
  out = value.get<double>();
  return ok();
}

Result<> read(const json& value, uint64_t& out) {
  if (!value.is_number_unsigned()) return invalid("not a whole number of 0 or more");
  out = value.get<uint64_t>();
  return ok();
}

Result<> read(const json& value, uint32_t& out) {
  uint64_t wide = 0;
  SLUICE_TRY(read(value, wide));
  if (wide > std::numeric_limits<uint32_t>::max()) return invalid("a number too large");
  out = static_cast<uint32_t>(wide);
  return ok();
}

Result<> read(const json& value, PathState& out) {
  for (const PathState path : {PathState::kResolved, PathState::kUnresolved})
    if (value == path_word(path)) {
      out = path;
      return ok();
    }
  return invalid("neither resolved nor unresolved");
}

Result<> read(const json& value, model::Service& out) {
  out = SLUICE_TRY(model::decode_service(value));
  return ok();
}

Result<> read(const json& value, model::Backend& out) {
  out = SLUICE_TRY(model::decode_backend(value));
  return ok();
}

Result<> read(const json& value, Traffic& out);
Result<> read(const json& value, BackendStatus& out);
Result<> read(const json& value, ServiceStatus& out);
Result<> read(const json& value, InterfaceStatus& out);
Result<> read(const json& value, ReasonStatus& out);
Result<> read(const json& value, FlowTableStatus& out);

template <typename T>
Result<> read(const json& value, std::vector<T>& out) {
  if (!value.is_array()) return invalid("not a list");
  for (size_t i = 0; i < value.size(); ++i)
    if (auto done = read(value[i], out.emplace_back()); !done)
      return std::move(done).error().within(fmt::format("entry {}", i));
  return ok();
}

// The fields of one JSON object, each of which must be there. Stops at the first fault.
class Fields {
 public:
  explicit Fields(const json& value) : value_(value) {
    if (!value.is_object()) result_ = invalid("not a map of keys");
  }

  template <typename T>
  Fields& read_into(std::string_view key, T& out) {
    if (!result_) return *this;
    const auto found = value_.find(key);
    result_ = found == value_.end() ? Result<>(invalid("missing")) : read(*found, out);
    if (!result_) result_ = std::move(result_).error().within(key);
    return *this;
  }

  Result<> result() { return std::move(result_); }

 private:
  const json& value_;
  Result<> result_ = ok();
};

Result<> read(const json& value, Traffic& out) {
  return Fields(value)
      .read_into("packets", out.packets)
      .read_into("bytes", out.bytes)
      .read_into("packets_per_second", out.packets_per_second)
      .read_into("bytes_per_second", out.bytes_per_second)
      .result();
}

Result<> read(const json& value, BackendStatus& out) {
  return Fields(value)
      .read_into("wanted", out.wanted)
      .read_into("id", out.id)
      .read_into("slots", out.slots)
      .read_into("path", out.path)
      .read_into("path_detail", out.path_detail)
      .read_into("flows", out.flows)
      .read_into("origin_slots", out.origin_slots)
      .read_into("traffic", out.traffic)
      .result();
}

Result<> read(const json& value, ServiceStatus& out) {
  return Fields(value)
      .read_into("wanted", out.wanted)
      .read_into("tracked_slots", out.tracked_slots)
      .read_into("traffic", out.traffic)
      .read_into("backends", out.backends)
      .result();
}

Result<> read(const json& value, InterfaceStatus& out) {
  return Fields(value)
      .read_into("name", out.name)
      .read_into("native", out.native)
      .read_into("shared", out.shared)
      .read_into("remark", out.remark)
      .result();
}

Result<> read(const json& value, ReasonStatus& out) {
  return Fields(value)
      .read_into("name", out.name)
      .read_into("text", out.text)
      .read_into("drops", out.drops)
      .read_into("answers", out.answers)
      .read_into("traffic", out.traffic)
      .result();
}

Result<> read(const json& value, FlowTableStatus& out) {
  return Fields(value)
      .read_into("entries", out.entries)
      .read_into("capacity", out.capacity)
      .read_into("age_seconds", out.age_seconds)
      .read_into("counters", out.counters)
      .result();
}

template <typename T>
Result<T> as_number(const json& value, T low, T high) {
  if (!value.is_number_unsigned() || value.get<uint64_t>() < low || value.get<uint64_t>() > high)
    return invalid(fmt::format("not a whole number between {} and {}", low, high));
  return static_cast<T>(value.get<uint64_t>());
}

// Text that `parse` turns into one of a set of words.
template <typename Parse>
auto as_word(const json& value, Parse parse) -> decltype(parse(std::string_view())) {
  std::string text;
  SLUICE_TRY(read(value, text));
  return parse(text);
}

Result<std::optional<MacAddress>> as_next_hop(const json& value) {
  std::string text;
  SLUICE_TRY(read(value, text));
  if (text == "auto") return std::optional<MacAddress>();
  auto mac = MacAddress::parse(text);
  if (!mac) return invalid(fmt::format("{} is neither auto nor a MAC address", model::in_quotes(text)));
  return std::optional(*mac);
}

Result<> read_change(std::string_view key, const json& value, model::BackendChange& change) {
  if (key == "weight")
    change.weight = SLUICE_TRY(as_number(value, 0U, model::kMaxWeight));
  else if (key == "state")
    change.state = SLUICE_TRY(as_word(value, model::parse_backend_state));
  else if (key == "next_hop")
    change.next_hop = SLUICE_TRY(as_next_hop(value));
  else if (key == "drain_until")
    change.drain_until = SLUICE_TRY(as_number<uint64_t>(value, 0, model::kMaxUnixSeconds));
  else
    return invalid("unknown key: the keys here are weight, state, next_hop, drain_until");
  return ok();
}

Result<> read_change(std::string_view key, const json& value, model::ServiceChange& change) {
  if (key == "hash")
    change.hash = SLUICE_TRY(as_word(value, model::parse_flow_hash));
  else if (key == "flows")
    change.flows = SLUICE_TRY(as_word(value, model::parse_flow_tracking));
  else if (key == "ring")
    change.ring_slots = SLUICE_TRY(as_number(value, model::kMinRingSlots, model::kMaxRingSlots));
  else
    return invalid("unknown key: the keys here are hash, flows, ring");
  return ok();
}

template <typename Change>
Result<Change> decode_change(const json& value, std::string_view keys) {
  if (!value.is_object()) return invalid(fmt::format("a map of {} is expected", keys));
  Change change;
  for (const auto& [key, entry] : value.items())
    if (auto done = read_change(key, entry, change); !done)
      return std::move(done).error().within(model::in_quotes(key));
  return change;
}

}  // namespace

json encode(const ServiceStatus& service) {
  json wanted = model::encode(service.wanted);
  wanted.erase("backends");
  return {{"wanted", std::move(wanted)},
          {"tracked_slots", service.tracked_slots},
          {"traffic", encode_traffic(service.traffic)},
          {"backends", encode_all(service.backends, encode_backend)}};
}

json encode(const ReasonStatus& reason) {
  return {{"name", reason.name},
          {"text", reason.text},
          {"drops", reason.drops},
          {"answers", reason.answers},
          {"traffic", encode_traffic(reason.traffic)}};
}

json encode(const Status& status) {
  return {{"version", status.version},
          {"revision", status.revision},
          {"uptime_seconds", status.uptime_seconds},
          {"interfaces", encode_all(status.interfaces, encode_interface)},
          {"services", encode_all(status.services, [](const ServiceStatus& one) { return encode(one); })},
          {"reasons", encode_all(status.reasons, [](const ReasonStatus& one) { return encode(one); })},
          {"flow_table", encode_flow_table(status.flow_table)}};
}

json encode(const model::BackendChange& change) {
  json encoded = json::object();
  if (change.weight) encoded["weight"] = *change.weight;
  if (change.state) encoded["state"] = model::to_string(*change.state);
  if (change.next_hop) encoded["next_hop"] = *change.next_hop ? (*change.next_hop)->to_string() : "auto";
  if (change.drain_until) encoded["drain_until"] = *change.drain_until;
  return encoded;
}

json encode(const model::ServiceChange& change) {
  json encoded = json::object();
  if (change.hash) encoded["hash"] = model::to_string(*change.hash);
  if (change.flows) encoded["flows"] = model::to_string(*change.flows);
  if (change.ring_slots) encoded["ring"] = *change.ring_slots;
  return encoded;
}

json encode(const Changed& changed) {
  return {{"revision", changed.revision},
          {"slots", changed.slots},
          {"moved", changed.moved},
          {"tracked", changed.tracked}};
}

json encode(const Error& error) {
  return {{"error", {{"code", to_string(error.code)}, {"message", error.message}}}};
}

Result<Status> decode_status(const json& value) {
  Status status;
  SLUICE_TRY(Fields(value)
                 .read_into("version", status.version)
                 .read_into("revision", status.revision)
                 .read_into("uptime_seconds", status.uptime_seconds)
                 .read_into("interfaces", status.interfaces)
                 .read_into("services", status.services)
                 .read_into("reasons", status.reasons)
                 .read_into("flow_table", status.flow_table)
                 .result());
  return status;
}

Result<model::BackendChange> decode_backend_change(const json& value) {
  return decode_change<model::BackendChange>(value, "weight, state, next_hop and drain_until");
}

Result<model::ServiceChange> decode_service_change(const json& value) {
  return decode_change<model::ServiceChange>(value, "hash, flows and ring");
}

Result<Changed> decode_changed(const json& value) {
  Changed changed;
  SLUICE_TRY(Fields(value)
                 .read_into("revision", changed.revision)
                 .read_into("slots", changed.slots)
                 .read_into("moved", changed.moved)
                 .read_into("tracked", changed.tracked)
                 .result());
  return changed;
}

Error decode_error(const json& value) {
  json error;
  std::string code;
  std::string message;
  if (value.is_object() && value.contains("error")) error = value["error"];
  if (!Fields(error).read_into("code", code).read_into("message", message).result())
    return Error{ErrorCode::kInternal, "an error in a form that cannot be read"};
  const auto known = std::ranges::find(kCodeWords, code, &CodeWord::word);
  return Error{known == kCodeWords.end() ? ErrorCode::kInternal : known->code, std::move(message)};
}

std::string_view to_string(ErrorCode code) {
  return code_word(code).word;
}

unsigned http_status(ErrorCode code) {
  return code_word(code).http_status;
}

}  // namespace sluice::api
