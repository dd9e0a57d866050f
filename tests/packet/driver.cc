// The packet tests' door to the real programs: one JSON object a line in, one out. It plans a configuration
// into private tables exactly as the agent does, and runs frames through the loaded program.
//
//   {"config": {...}, "path": {...}}  new tables and a new program; "path" is every backend's path; with
//                                     "exact_times": true every packet of a flow says when it was seen
//   {"apply": {...}}                  changes the configuration of the tables that are there
//   {"run": "<hex>"}                  -> {"action": "tx", "frame": "<hex>"}; with "metadata": <bytes>, as if
//   that much
//                                     stood before the frame and took room from new headers
//   {"counters": true}                -> {"reasons": {...}, "backends": {"<service> <address>": [packets,
//   bytes]}}
//   {"choose": ["<hex>", ...]}        runs many frames -> {"frames": ["<hex>", ...]}, "" for one not
//   forwarded
//   {"flows": true}                   -> {"flows": <entries>, "events": {"<name>": <packets>, ...}}
//   {"settle": {"grace_over": <how>}} reads the flow table to its end as if the grace period had just
//                                     passed: "silent": no flow said anything in it; "awake": all flows did;
//                                     "spoken": those did that have since the last change. With "steps": <n>
//                                     it stops after so many pieces
//                                     -> {"settled_slots", "forgotten_flows", "tracked_slots", "slots"}
//   {"state": {"service", "address", "state": <enum sl_backend_state>}}   as in the midst of a change
//   {"slots": {"service", "id"}}      every slot of the ring names this backend id, which nothing may
//   {"decap": ["<address>", ...]}     a new decap program with these tunnel ends
//   {"unwrap": "<hex>"}, {"decap_counters": true}
//
// Where a request fails the answer is {"error": "<why>"}. A path is {"ifindex", "source_mac",
// "destination_mac", "mtu", "source"}, each with a default but the last, or null for one that is not known;
// "path" may hold other paths by backend address.
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <fmt/format.h>
#include <linux/bpf.h>

#include <array>
#include <iostream>
#include <nlohmann/json.hpp>
#include <optional>

#include "apply/applier.h"
#include "dataplane/program_config.h"
#include "kernel/decap.h"
#include "kernel/map_port.h"
#include "kernel/program.h"
#include "model/codec.h"

namespace {

using namespace sluice;
using nlohmann::json;

constexpr uint32_t kIngress = 1;  // loopback, which every namespace has

std::string to_hex(const std::vector<uint8_t>& bytes) {
  std::string text;
  for (const uint8_t byte : bytes) text += fmt::format("{:02x}", byte);
  return text;
}

std::vector<uint8_t> from_hex(const std::string& text) {
  std::vector<uint8_t> bytes;
  for (size_t i = 0; i + 1 < text.size(); i += 2)
    bytes.push_back(static_cast<uint8_t>(std::stoul(text.substr(i, 2), nullptr, 16)));
  return bytes;
}

json to_json(const kernel::RunResult& result) {
  constexpr std::array<const char*, 5> kActions{"aborted", "drop", "pass", "tx", "redirect"};
  return {{"action", kActions.at(result.action)}, {"frame", to_hex(result.frame)}};
}

// Program::run() with `metadata` bytes in front of the frame (their limit was 32 before Linux 6.3).
Result<kernel::RunResult> run_behind_metadata(const kernel::Program& program, std::vector<uint8_t> frame,
                                              uint32_t metadata) {
  const bpf_program* entry = bpf_object__find_program_by_name(program.object(), "sluice");
  frame.insert(frame.begin(), metadata, 0);
  kernel::RunResult result;
  result.frame.resize(frame.size() + 256);
  xdp_md context{};
  context.data = metadata;
  context.data_end = static_cast<uint32_t>(frame.size());
  context.ingress_ifindex = kIngress;
  LIBBPF_OPTS(bpf_test_run_opts, options);
  options.data_in = frame.data();
  options.data_size_in = static_cast<uint32_t>(frame.size());
  options.data_out = result.frame.data();
  options.data_size_out = static_cast<uint32_t>(result.frame.size());
  options.ctx_in = &context;
  options.ctx_size_in = sizeof context;
  if (const int error = bpf_prog_test_run_opts(bpf_program__fd(entry), &options))
    return system_error("run the program behind metadata", error);
  result.action = options.retval;
  result.frame.resize(options.data_size_out);
  result.frame.erase(result.frame.begin(), result.frame.begin() + metadata);
  return result;
}

std::optional<dataplane::Path> path_from(const json& wanted) {
  if (wanted.is_null()) return std::nullopt;
  dataplane::Path path;
  path.ifindex = wanted.value("ifindex", kIngress);
  path.source_mac = MacAddress::parse(wanted.value("source_mac", "02:00:00:00:00:01")).value();
  path.destination_mac = MacAddress::parse(wanted.value("destination_mac", "02:00:00:00:00:02")).value();
  path.mtu = wanted.value("mtu", 1600U);
  if (wanted.contains("source"))
    path.source_address = IpAddress::parse(std::string(wanted["source"])).value();
  return path;
}

class Driver {
 public:
  Result<json> handle(const json& request);

 private:
  Result<json> configure(const json& request);
  Result<json> apply(const json& config);
  Result<json> run(const json& request) const;
  Result<json> choose(const json& frames) const;
  Result<json> settle(const json& wanted);
  Result<json> flows();
  Result<json> set_state(const json& wanted);
  Result<json> fill_slots(const json& wanted);
  Result<const plan::ServiceLayout*> layout_of(const json& wanted) const;
  Result<json> counters() const;
  Result<json> decap_counters() const;

  std::unique_ptr<kernel::MapPort> port_;
  std::optional<apply::Applier> applier_;
  std::optional<kernel::Program> program_;
  std::unique_ptr<kernel::Decap> decap_;
  apply::Moment changed_{};  // the end of the last change
};

Result<json> Driver::configure(const json& request) {
  const model::Config config = SLUICE_TRY(model::decode(request["config"]));
  program_.reset();
  applier_.reset();
  port_ = SLUICE_TRY(kernel::MapPort::open(config.limits, std::nullopt));
  const json path = request.value("path", json::object());
  applier_.emplace(SLUICE_TRY(apply::Applier::take_over(
      *port_, config.limits,
      [path](const IpAddress& backend,
             const std::optional<MacAddress>& next_hop) -> std::optional<dataplane::Path> {
        const auto specific = path.find(backend.to_string());
        auto found = path_from(specific == path.end() ? path : *specific);
        if (found && next_hop) found->destination_mac = *next_hop;
        return found;
      })));
  SLUICE_TRY(applier_->apply(config));
  changed_ = apply::Moment::now();
  sl_config switches = dataplane::make_program_config(config);
  if (request.value("exact_times", false)) switches.flow_seen_every = 0;
  program_.emplace(SLUICE_TRY(kernel::Program::open(*port_, switches)));
  SLUICE_TRY(program_->load());
  return json{{"ok", true}};
}

Result<json> Driver::counters() const {
  constexpr std::array<const char*, SL_REASON_COUNT> kNames{
      "ok",
#define SL_NAME(enumerator, name, text) name,
      SL_PASS_REASONS(SL_NAME) SL_DROP_REASONS(SL_NAME) SL_ANSWER_REASONS(SL_NAME)
#undef SL_NAME
  };
  json reasons = json::object(), backends = json::object();
  const auto by_reason = SLUICE_TRY(port_->reason_counters());
  for (size_t i = 0; i < kNames.size(); ++i)
    if (by_reason[i].packets != 0) reasons[kNames[i]] = {by_reason[i].packets, by_reason[i].bytes};
  for (const auto& service : applier_->applied().services)
    for (const auto& [address, id] : applier_->placed(dataplane::ServiceKey::of(service))->backends) {
      const auto counter = SLUICE_TRY(port_->backend_counters(std::array{id})).front();
      backends[service.name + " " + address.to_string()] = {counter.packets, counter.bytes};
    }
  return json{{"reasons", reasons}, {"backends", backends}};
}

Result<json> Driver::decap_counters() const {
  constexpr std::array<const char*, SL_DECAP_REASON_COUNT> kNames{
#define SL_NAME(enumerator, name, text) name,
      SL_DECAP_REASONS(SL_NAME)
#undef SL_NAME
  };
  json reasons = json::object();
  const auto by_reason = SLUICE_TRY(decap_->counters());
  for (size_t i = 0; i < kNames.size(); ++i)
    if (by_reason[i].packets != 0) reasons[kNames[i]] = {by_reason[i].packets, by_reason[i].bytes};
  return json{{"reasons", reasons}};
}

Result<json> Driver::apply(const json& config) {
  SLUICE_TRY(applier_->apply(SLUICE_TRY(model::decode(config))));
  changed_ = apply::Moment::now();
  return json{{"ok", true}};
}

Result<json> Driver::run(const json& request) const {
  const std::vector<uint8_t> frame = from_hex(request["run"]);
  if (request.contains("metadata"))
    return to_json(SLUICE_TRY(run_behind_metadata(*program_, frame, request["metadata"])));
  return to_json(SLUICE_TRY(program_->run(frame, kIngress)));
}

Result<json> Driver::choose(const json& frames) const {
  json out = json::array();
  for (const auto& frame : frames) {
    const auto result = SLUICE_TRY(program_->run(from_hex(frame), kIngress));
    out.push_back(result.action == XDP_TX ? to_hex(result.frame) : "");
  }
  return json{{"frames", out}};
}

Result<json> Driver::settle(const json& wanted) {
  const std::chrono::seconds grace(applier_->applied().defaults.grace_seconds);
  apply::Moment now = apply::Moment::now();
  if (wanted.contains("grace_over")) {
    const std::string how = wanted["grace_over"];
    now.time += grace;
    if (how == "spoken") now.ns = changed_.ns;  // who was seen before, was silent for longer
    // And a second, for the agent allows times of flows to be that much too old.
    const auto silence = grace + std::chrono::seconds(1);
    if (how != "awake") now.ns += static_cast<uint64_t>(std::chrono::nanoseconds(silence).count());
  }
  size_t settled = 0, forgotten = 0;
  for (unsigned steps = wanted.value("steps", ~0U); steps > 0; --steps) {
    const auto progress = SLUICE_TRY(applier_->settle(now));
    settled += progress.settled_slots;
    forgotten += progress.forgotten_flows;
    if (!progress.is_reading) break;
  }
  uint32_t tracked = 0, slots = 0;
  for (const auto& service : applier_->applied().services) {
    const auto* placed = applier_->placed(dataplane::ServiceKey::of(service));
    slots += placed->slots();
    for (const uint32_t slot : port_->ring().subspan(placed->value.ring_base, placed->slots()))
      if ((slot & SL_SLOT_TRACKED) != 0) ++tracked;
  }
  return json{{"settled_slots", settled},
              {"forgotten_flows", forgotten},
              {"tracked_slots", tracked},
              {"slots", slots}};
}

Result<json> Driver::flows() {
  constexpr std::array<const char*, SL_FLOW_EVENT_COUNT> kNames{
#define SL_NAME(enumerator, name, text) name,
      SL_FLOW_EVENTS(SL_NAME)
#undef SL_NAME
  };
  size_t entries = 0;
  SLUICE_TRY(port_->erase_flows([&](const sl_flow_key&, const sl_flow&) { return ++entries, false; }));
  json events = json::object();
  const auto counters = SLUICE_TRY(port_->flow_counters());
  for (size_t i = 0; i < kNames.size(); ++i) events[kNames[i]] = counters[i].packets;
  return json{{"flows", entries}, {"events", events}};
}

Result<const plan::ServiceLayout*> Driver::layout_of(const json& wanted) const {
  const model::Service* service = applier_->applied().find_service(std::string(wanted["service"]));
  if (service == nullptr) return Error{ErrorCode::kNotFound, "no such service"};
  return applier_->placed(dataplane::ServiceKey::of(*service));
}

Result<json> Driver::set_state(const json& wanted) {
  const plan::ServiceLayout* layout = SLUICE_TRY(layout_of(wanted));
  const IpAddress address = SLUICE_TRY(IpAddress::parse(std::string(wanted["address"])));
  port_->set_backend_state(layout->backends.at(address), static_cast<sl_backend_state>(wanted["state"]));
  return json{{"ok", true}};
}

Result<json> Driver::fill_slots(const json& wanted) {
  const plan::ServiceLayout* layout = SLUICE_TRY(layout_of(wanted));
  const std::vector<uint32_t> slots(layout->slots(), wanted["id"]);
  port_->write_block(layout->value.ring_base, slots, slots);
  return json{{"ok", true}};
}

Result<json> Driver::handle(const json& request) {
  if (request.contains("config")) return configure(request);
  const bool is_decap =
      request.contains("decap") || request.contains("unwrap") || request.contains("decap_counters");
  if (is_decap ? !decap_ && !request.contains("decap") : !program_.has_value())
    return Error{ErrorCode::kInvalid, "there is no program yet"};
  if (request.contains("apply")) return apply(request["apply"]);
  if (request.contains("run")) return run(request);
  if (request.contains("state")) return set_state(request["state"]);
  if (request.contains("slots")) return fill_slots(request["slots"]);
  if (request.contains("counters")) return counters();
  if (request.contains("flows")) return flows();
  if (request.contains("choose")) return choose(request["choose"]);
  if (request.contains("settle")) return settle(request["settle"]);
  if (request.contains("decap")) {
    decap_ = std::make_unique<kernel::Decap>(SLUICE_TRY(kernel::Decap::open(std::nullopt)));
    std::vector<IpAddress> addresses;
    for (const auto& text : request["decap"])
      addresses.push_back(SLUICE_TRY(IpAddress::parse(std::string(text))));
    SLUICE_TRY(decap_->set_addresses(addresses));
    return json{{"ok", true}};
  }
  if (request.contains("unwrap")) return to_json(SLUICE_TRY(decap_->run(from_hex(request["unwrap"]))));
  if (request.contains("decap_counters")) return decap_counters();
  return Error{ErrorCode::kInvalid, "unknown request"};
}

}  // namespace

int main() {
  Driver driver;
  for (std::string line; std::getline(std::cin, line);) {
    const Result<json> reply = driver.handle(json::parse(line));
    std::cout << (reply.ok() ? *reply : json{{"error", reply.error().message}}).dump() << std::endl;
  }
}
