// The backend-side program: takes the outer header off tunnel packets to this host's addresses.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/address.h"
#include "bpf/abi.h"
#include "kernel/attachment.h"
#include "kernel/test_run.h"

struct decap_bpf;  // the generated skeleton

namespace sluice::kernel {

class Decap {
 public:
  // With a directory (on a bpffs) its maps are pinned there, or those already there are taken over.
  static Result<Decap> open(const std::optional<std::string>& pin_directory);
  Decap(Decap&& other) noexcept;
  ~Decap();

  // Exactly these addresses are tunnel ends from now on. kNoSpace: more than the table holds.
  Result<> set_addresses(const std::vector<IpAddress>& addresses);
  Result<std::vector<IpAddress>> addresses() const;
  Result<std::vector<sl_counter>> counters() const;  // by enum sl_decap_reason, summed over CPUs

  Result<Attachment> attach(const Interface& interface, model::XdpMode mode);
  Result<bool> detach(const Interface& interface);
  Result<bool> is_on_any_interface();  // of this network namespace

  // Loads the program and runs it once on a frame.
  Result<RunResult> run(const std::vector<uint8_t>& frame);

 private:
  explicit Decap(decap_bpf* skeleton) : maps_(skeleton) {}
  Result<bpf_object*> open_instance();
  Result<XdpSource> source();

  decap_bpf* maps_ = nullptr;      // owns the maps; its program is not loaded
  decap_bpf* instance_ = nullptr;  // the program last opened, sharing them
};

}  // namespace sluice::kernel
