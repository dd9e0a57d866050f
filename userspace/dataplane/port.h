// The port to the kernel's tables: everything that the agent reads from and writes to the data plane goes
// through here. The real side is kernel::MapPort; FakePort keeps the same tables in memory.
//
// One thread. The invariants of bpf/abi.h are the caller's to keep; each function says which write it is.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "base/result.h"
#include "bpf/abi.h"
#include "dataplane/service_key.h"

namespace sluice::dataplane {

struct ServiceEntry {
  ServiceKey key;
  sl_service value;
};

struct BackendEntry {
  uint32_t id;
  sl_backend value;
};

// Where a walk over the flow table stands; a new one begins.
struct FlowCursor {
  unsigned map = 0;       // which of the port's maps
  uint32_t position = 0;  // in that map, where it was begun
  bool is_in_map = false;
  bool is_at_end = false;
};

class Port {
 public:
  using PickFlow = std::function<bool(const sl_flow_key&, const sl_flow&)>;

  Port() = default;
  Port(const Port&) = delete;
  Port& operator=(const Port&) = delete;
  virtual ~Port() = default;

  // Views of the tables as they are now; valid as long as the port. Slots may carry SL_SLOT_TRACKED. The
  // index of `backends` is the backend's id; entry 0 is unused.
  virtual std::span<const uint32_t> ring() const = 0;
  virtual std::span<const uint32_t> origin() const = 0;
  virtual std::span<const sl_backend> backends() const = 0;
  virtual Result<std::vector<ServiceEntry>> services() const = 0;

  // Fills [base, base + slots.size()) of both arrays, a block that no packet reads. `origins` is as long.
  virtual void write_block(uint32_t base, std::span<const uint32_t> slots,
                           std::span<const uint32_t> origins) = 0;
  // Changes the same of one array in a block that packets read: one aligned 32-bit store a slot.
  virtual void update_ring(uint32_t base, std::span<const uint32_t> slots) = 0;
  virtual void update_origin(uint32_t base, std::span<const uint32_t> origins) = 0;

  // Publishes or takes back a service; atomic for packets. Both wait, where needed, until no packet can hold
  // a value that the kernel is about to recycle. kNoSpace: the table is full.
  virtual Result<> put_service(const ServiceKey& key, const sl_service& value) = 0;
  virtual Result<> delete_service(const ServiceKey& key) = 0;

  // Changes backends while packets may read them, by whichever of invariant 3's ways each difference needs;
  // waits for packets at most once.
  virtual Result<> put_backends(std::span<const BackendEntry> entries) = 0;
  Result<> put_backend(uint32_t id, const sl_backend& value) {
    const BackendEntry entry{id, value};
    return put_backends({&entry, 1});
  }
  virtual void set_backend_state(uint32_t id, sl_backend_state state) = 0;

  // Returns when every packet that was in the program at the call has left it.
  virtual Result<> wait_for_packets() = 0;

  // Walks on over the flow table, over about `most` entries or to its end, and deletes those that the
  // predicate picks; returns how many. What packets add meanwhile may or may not be
  // met; all else is, what moves perhaps twice.
  virtual Result<size_t> erase_some_flows(FlowCursor& cursor, uint32_t most, const PickFlow& pick) = 0;
  // The same from its beginning to its end.
  Result<size_t> erase_flows(const PickFlow& pick);

  // Counters summed over CPUs: of these backend ids, in their order; by enum sl_reason; by enum
  // sl_flow_event.
  virtual Result<std::vector<sl_counter>> backend_counters(std::span<const uint32_t> ids) const = 0;
  virtual Result<std::vector<sl_counter>> reason_counters() const = 0;
  virtual Result<std::vector<sl_counter>> flow_counters() const = 0;
  virtual Result<> clear_backend_counter(uint32_t id) = 0;

  // Lets packets leave by this interface.
  virtual Result<> allow_egress(uint32_t ifindex) = 0;
};

}  // namespace sluice::dataplane
