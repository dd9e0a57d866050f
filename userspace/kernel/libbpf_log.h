// libbpf and libxdp say on a print callback why a call failed; their return values hold only an errno. This
// keeps what they say, so that an error can quote it.
#pragma once

#include <string>

namespace sluice::kernel {

// Routes both libraries' output here instead of stderr. Idempotent; called by everything that opens an
// object.
void capture_library_log();

// What was said since the last call: warnings only, in one line, and forgets it.
std::string take_library_warnings();

// The same at every level (the verifier's log is in it), several lines.
std::string take_library_log();

}  // namespace sluice::kernel
