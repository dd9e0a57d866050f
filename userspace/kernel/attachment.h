// Attaching an XDP program to an interface so that it outlives the process: through libxdp's dispatcher where
// the kernel lets it, so that other XDP programs keep running beside it, else alone on the interface.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "base/result.h"
#include "model/config.h"

struct bpf_object;

namespace sluice::kernel {

struct Interface {
  std::string name;
  uint32_t ifindex = 0;
};

// What to attach. A program of this name that uses the map is an earlier instance of ours.
struct XdpSource {
  std::string name;     // of the BPF program
  uint32_t map_id = 0;  // kernel id of a map that all instances share
  // Opens a new, not yet loaded object, shares the maps with it and keeps it until the next call.
  std::function<Result<bpf_object*>()> open;
};

struct Attachment {
  Interface interface;
  bool native = false;      // false: generic, slower, in the kernel's common receive path
  bool shared = false;      // chained with other XDP programs by libxdp's dispatcher; false: alone
  bool replaced = false;    // an earlier instance was on the interface
  uint32_t program_id = 0;  // what program_on() said when it was last looked at
  std::string remark;       // why it is not native or not shared, for people; empty when it is both
};

// Attaches, or replaces an earlier instance without a gap. With XdpMode::kAuto native mode is tried first.
// kExists: another program holds the interface; the message names it and says what to do.
Result<Attachment> attach_xdp(const XdpSource& source, const Interface& interface, model::XdpMode mode);

// Takes every instance off the interface; true if there was one.
Result<bool> detach_xdp(const XdpSource& source, const Interface& interface);

// libxdp 1.3 loses a file descriptor each time that it looks at an interface with a program (this,
// attach_xdp() and detach_xdp()): what looks again and again asks program_on() first.
bool is_on(const XdpSource& source, const Interface& interface);

// The kernel's id of the XDP program on the interface, whoever's it is, or of the dispatcher; 0: none.
uint32_t program_on(const Interface& interface);

// The interfaces of this network namespace that an instance is on.
std::vector<Interface> interfaces_with(const XdpSource& source);

}  // namespace sluice::kernel
