// The program's read-only configuration, made from the desired state. Whatever is in it needs a new program
// to change; everything else is in maps.
#pragma once

#include "bpf/abi.h"
#include "model/config.h"

namespace sluice::dataplane {

sl_config make_program_config(const model::Config& config);

}  // namespace sluice::dataplane
