// What the agent and its callers say to each other over HTTP and JSON on a Unix socket: requests and replies
// as plain structs. The desired state itself is model::Config in model/codec.h's spelling; this adds what is
// observed.
//
//   GET    /v1/status                            Status
//   GET    /v1/config                            model::Config as it is wanted now
//   POST   /v1/services                          model::Service -> 201
//   PATCH  /v1/services/{name}                   model::ServiceChange -> 200
//   DELETE /v1/services/{name}                   -> 200
//   POST   /v1/services/{name}/backends          model::Backend -> 201
//   PATCH  /v1/services/{name}/backends/{addr}   model::BackendChange -> 200
//   DELETE /v1/services/{name}/backends/{addr}   -> 200
//
// A change answers a Changed once it is in the kernel and on disk. Every failure answers
// {"error": {"code": "<to_string(ErrorCode)>", "message": "..."}} with the status of http_status(), and has
// changed nothing.
#pragma once

#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "model/config.h"
#include "model/edit.h"

namespace sluice::api {

constexpr const char* kDefaultSocket = "/run/sluice/sluice.sock";
constexpr size_t kMaxBodyBytes = 1U << 20;     // of a request
constexpr size_t kMaxReplyBytes = 256U << 20;  // a Status has some 300 bytes a backend

struct Traffic {
  uint64_t packets = 0;           // since the thing was made
  uint64_t bytes = 0;             // of frames as they came in
  double packets_per_second = 0;  // over about the last second
  double bytes_per_second = 0;
  bool operator==(const Traffic&) const = default;
};

// What the data plane does with a backend's packets now.
enum class PathState { kResolved, kUnresolved };

struct BackendStatus {
  model::Backend wanted;
  uint32_t id = 0;     // in the kernel's tables
  uint32_t slots = 0;  // of the ring, where new flows go
  PathState path = PathState::kUnresolved;
  std::string path_detail;    // "via 10.0.0.254 on eth1", or why it is unresolved
  uint64_t flows = 0;         // in the flow table and not over, when it was last read (FlowTableStatus)
  uint32_t origin_slots = 0;  // tracked slots whose older flows, silent ones too, still come here
  Traffic traffic;
  bool operator==(const BackendStatus&) const = default;
};

struct ServiceStatus {
  model::Service wanted;       // without its backends, which follow
  uint32_t tracked_slots = 0;  // slots that a change moved and in which older flows are kept
  Traffic traffic;             // the sum of its backends'
  std::vector<BackendStatus> backends;
  bool operator==(const ServiceStatus&) const = default;
};

struct InterfaceStatus {
  std::string name;
  bool native = false;
  bool shared = false;  // with other XDP programs, through libxdp's dispatcher
  std::string remark;   // why not, for people
  bool operator==(const InterfaceStatus&) const = default;
};

// Packets that were not forwarded, by reason (bpf/reasons.h).
struct ReasonStatus {
  std::string name;
  std::string text;
  bool drops = false;    // the packet; neither this nor `answers`: it was passed to the kernel
  bool answers = false;  // the packet, with one of our own to its sender
  Traffic traffic;
  bool operator==(const ReasonStatus&) const = default;
};

// The flow table: flows of tracked slots, and of services that track every flow.
struct FlowTableStatus {
  uint64_t entries = 0;                // when it was last read
  uint64_t capacity = 0;               // limits.flows, for TCP and UDP each
  double age_seconds = 0;              // since that reading began; 0 where there is nothing to read
  std::vector<ReasonStatus> counters;  // what packets did there (SL_FLOW_EVENTS in bpf/reasons.h)
  bool operator==(const FlowTableStatus&) const = default;
};

struct Status {
  std::string version;    // the agent's
  uint64_t revision = 0;  // counts changes of the desired state
  double uptime_seconds = 0;
  std::vector<InterfaceStatus> interfaces;
  std::vector<ServiceStatus> services;
  std::vector<ReasonStatus> reasons;
  FlowTableStatus flow_table;
  bool operator==(const Status&) const = default;
};

struct Changed {
  uint64_t revision = 0;
  uint32_t slots = 0;    // of the service's ring; 0 where no ring changed
  uint32_t moved = 0;    // slots that new flows find another backend in
  uint32_t tracked = 0;  // slots in which older flows are kept where they are
  bool operator==(const Changed&) const = default;
};

nlohmann::json encode(const Status&);
nlohmann::json encode(const ServiceStatus&);
nlohmann::json encode(const ReasonStatus&);
nlohmann::json encode(const model::BackendChange&);
nlohmann::json encode(const model::ServiceChange&);
nlohmann::json encode(const Changed&);
nlohmann::json encode(const Error&);
Result<Status> decode_status(const nlohmann::json&);
Result<model::BackendChange> decode_backend_change(const nlohmann::json&);
Result<model::ServiceChange> decode_service_change(const nlohmann::json&);
Result<Changed> decode_changed(const nlohmann::json&);
Error decode_error(const nlohmann::json&);  // whatever comes, an Error

std::string_view to_string(ErrorCode);
unsigned http_status(ErrorCode);

}  // namespace sluice::api
