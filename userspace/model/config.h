// The desired state: what an operator wants, and nothing about how it is done.
//
// One schema serves the configuration file (YAML), the API and the state on disk (JSON). A Config that came
// out of decode() or passed validate() is consistent: names and VIPs are unique, families fit, numbers are in
// range. Values are plain; threads share none.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/address.h"
#include "base/result.h"

namespace sluice::model {

constexpr uint32_t kDefaultRingSlots = 65536;
constexpr uint32_t kMinRingSlots = 256;
constexpr uint32_t kMaxRingSlots = 1U << 22;
constexpr uint32_t kMaxWeight = 65535;
constexpr size_t kMaxNameLength = 63;
constexpr size_t kMaxSeedLength = 255;
constexpr uint32_t kMinGraceSeconds = 1;
constexpr uint32_t kMaxGraceSeconds = 24 * 3600;
constexpr uint64_t kMaxUnixSeconds =
    253402300799;  // 9999-12-31T23:59:59Z: no seconds reach it, milliseconds do

// What Limits may ask for. A backend takes 128 bytes and 16 more a CPU; a slot of the rings takes 8 (ring and
// origin); a flow takes about 260 at most.
constexpr uint32_t kMaxServices = 1U << 20;
constexpr uint32_t kMaxBackends = 1U << 20;
constexpr uint32_t kMinTotalRingSlots = 1U << 12;
constexpr uint32_t kMaxTotalRingSlots = 1U << 28;
constexpr uint32_t kMinFlows = 1024;
constexpr uint32_t kMaxFlows = 1U << 24;

enum class XdpMode { kAuto, kNative, kGeneric };
enum class Protocol : uint8_t { kTcp = 6, kUdp = 17 };  // IANA protocol numbers
enum class ForwardingMode { kIpip };
enum class BackendState {  // what the operator asks for
  kUp,
  kDrain,  // no new flows; those it has stay
  kDown,   // no flows at all: those it had go to other backends, which do not know them
};
enum class FlowTracking {
  kAuto,       // TCP: only flows that a change put at risk; UDP: every flow
  kTracked,    // every flow in the flow table
  kStateless,  // none: a flow follows its ring slot
};

// What of a packet chooses its slot of the ring, and so the backend of a new flow.
enum class FlowHash {
  kFiveTuple,     // addresses, ports and protocol: each connection for itself
  kSourceIp,      // the client's address: all its connections, to whichever service with the same backends
  kSourceIpPort,  // the client's address and port
};

struct Interface {
  std::string name;
  XdpMode xdp = XdpMode::kAuto;
  bool operator==(const Interface&) const = default;
};

// The outer source address of encapsulated packets. With a prefix, its host bits carry the flow's hash so
// that backends' NICs spread the load. Unset: the address that the kernel's route to the backend prefers.
struct Encapsulation {
  std::optional<IpPrefix> source4;
  std::optional<IpPrefix> source6;  // a /64 or longer
  bool operator==(const Encapsulation&) const = default;
};

struct Defaults {
  std::optional<MacAddress> next_hop;  // unset: from the kernel's routes and neighbours
  std::string hash_seed;               // text; empty: the fixed default seed
  uint32_t grace_seconds = 900;        // how long a flow older than a change may be silent and still be kept
  bool operator==(const Defaults&) const = default;
};

// Sizes of the kernel tables, fixed while they exist.
struct Limits {
  uint32_t services = 4096;
  uint32_t backends = 16384;
  uint32_t ring_slots =
      1U << 23;  // all services' rings together, and once more the largest while it is replaced
  uint32_t flows = 1U << 18;
  bool operator==(const Limits&) const = default;
};

struct Backend {
  IpAddress address;
  uint32_t weight = 1;  // 0: no slot of the ring
  BackendState state = BackendState::kUp;
  std::optional<MacAddress> next_hop;  // overrides Defaults::next_hop
  // Only with kDrain: Unix time in seconds; the drain ends then, and the backend is down.
  std::optional<uint64_t> drain_until = std::nullopt;
  bool operator==(const Backend&) const = default;
};

struct Service {
  std::string name;
  Endpoint vip;
  Protocol protocol = Protocol::kTcp;
  ForwardingMode mode = ForwardingMode::kIpip;
  FlowHash hash = FlowHash::kFiveTuple;
  FlowTracking flows = FlowTracking::kAuto;
  uint32_t ring_slots = kDefaultRingSlots;  // a power of two
  std::vector<Backend> backends;            // unique addresses, in the order they were added
  bool operator==(const Service&) const = default;

  const Backend* find_backend(const IpAddress& address) const;
  Backend* find_backend(const IpAddress& address);
};

struct Config {
  std::vector<Interface> interfaces;
  Encapsulation encapsulation;
  Defaults defaults;
  Limits limits;
  std::vector<Service> services;  // unique names, unique (VIP, protocol), in the order they were added
  bool operator==(const Config&) const = default;

  const Service* find_service(std::string_view name) const;
  Service* find_service(std::string_view name);
};

// What an operator reads and writes for each enumerator.
std::string_view to_string(XdpMode);
std::string_view to_string(Protocol);
std::string_view to_string(ForwardingMode);
std::string_view to_string(BackendState);
std::string_view to_string(FlowTracking);
std::string_view to_string(FlowHash);
Result<XdpMode> parse_xdp_mode(std::string_view);
Result<Protocol> parse_protocol(std::string_view);
Result<ForwardingMode> parse_forwarding_mode(std::string_view);
Result<BackendState> parse_backend_state(std::string_view);
Result<FlowTracking> parse_flow_tracking(std::string_view);
Result<FlowHash> parse_flow_hash(std::string_view);

// Every rule that spans more than one field. The errors name the thing, the cause and the way out; kInvalid,
// or kExists for a duplicate, or kNoSpace where a limit is exceeded. Several broken rules make one error, a
// line each (see merge()).
Result<> validate(const Config&);
Result<> validate(const Service&);
Result<> validate(const Backend&,
                  const Service& of);  // that `of` has no second one like it is validate(Service)'s

// One broken rule, and the values that break it together, as paths in the document ("services[2].vip"; for a
// Service or a Backend alone, from there on: "vip"). It is reported at the first. validate() is these,
// merged.
struct Violation {
  std::vector<std::string> paths;
  Error error;
};
std::vector<Violation> violations(const Config&);
std::vector<Violation> violations(const Service&);
std::vector<Violation> violations(const Backend&, const Service& of);

// Several errors as one, a line each, at most kMaxReportedErrors of them. The code is theirs where they
// agree, kInvalid where they do not. `errors` is not empty.
constexpr size_t kMaxReportedErrors = 100;
Error merge(const std::vector<Error>& errors);

// Foreign text as messages show it: in quotes, '?' for all but printable ASCII, cut after 64 bytes.
std::string in_quotes(std::string_view text);
bool is_printable(std::string_view text);  // ASCII 0x20 to 0x7e only

}  // namespace sluice::model
