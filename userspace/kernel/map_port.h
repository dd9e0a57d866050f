// The real side of dataplane::Port: the kernel's maps, pinned so that they outlive the process, the flat
// arrays mapped into memory. One thread.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <unordered_set>

#include "base/fd.h"
#include "dataplane/port.h"
#include "model/config.h"

struct sluice_bpf;  // the generated skeleton

namespace sluice::kernel {

class MapPort final : public dataplane::Port {
 public:
  // With a directory (on a bpffs) the maps are pinned in it, or those already pinned there are taken over;
  // without one they are private and gone with the port. kInvalid: the pinned maps have other sizes than
  // `limits`.
  static Result<std::unique_ptr<MapPort>> open(const model::Limits& limits,
                                               const std::optional<std::string>& pin_directory);
  ~MapPort() override;

  std::span<const uint32_t> ring() const override { return {ring_.slots(), ring_.size / sizeof(uint32_t)}; }
  std::span<const uint32_t> origin() const override {
    return {origin_.slots(), origin_.size / sizeof(uint32_t)};
  }
  std::span<const sl_backend> backends() const override { return {backend_array(), backend_entries_}; }
  Result<std::vector<dataplane::ServiceEntry>> services() const override;
  void write_block(uint32_t base, std::span<const uint32_t> slots,
                   std::span<const uint32_t> origins) override;
  void update_ring(uint32_t base, std::span<const uint32_t> slots) override;
  void update_origin(uint32_t base, std::span<const uint32_t> origins) override;
  Result<> put_service(const dataplane::ServiceKey& key, const sl_service& value) override;
  Result<> delete_service(const dataplane::ServiceKey& key) override;
  Result<> put_backends(std::span<const dataplane::BackendEntry> entries) override;
  void set_backend_state(uint32_t id, sl_backend_state state) override;
  Result<> wait_for_packets() override;
  Result<size_t> erase_some_flows(dataplane::FlowCursor& cursor, uint32_t most,
                                  const PickFlow& pick) override;
  Result<std::vector<sl_counter>> backend_counters(std::span<const uint32_t> ids) const override;
  Result<std::vector<sl_counter>> reason_counters() const override;
  Result<std::vector<sl_counter>> flow_counters() const override;
  Result<> clear_backend_counter(uint32_t id) override;
  Result<> allow_egress(uint32_t ifindex) override;

  // The skeleton whose maps these are, for programs that are to share them.
  const sluice_bpf& skeleton() const { return *skeleton_; }

 private:
  struct Mapping {
    void* address = nullptr;
    size_t size = 0;
    uint32_t* slots() const { return static_cast<uint32_t*>(address); }
  };

  MapPort() = default;
  Result<Mapping> map_array(const void* bpf_map) const;
  sl_backend* backend_array() const { return static_cast<sl_backend*>(backend_memory_.address); }
  int services_fd(Family family) const;
  Result<> before_recycling();

  sluice_bpf* skeleton_ = nullptr;
  Mapping ring_, origin_, backend_memory_;
  size_t backend_entries_ = 0;
  // What packets may still be reading although it is no longer current; emptied by wait_for_packets().
  bool element_freed_ = false;              // a freed element of the service maps
  std::unordered_set<uint32_t> lately_up_;  // entries of backends that have left SL_BACKEND_UP
};

}  // namespace sluice::kernel
