// The flags of a service's entry (bpf/abi.h), from what the model says and taken apart again.
#pragma once

#include "bpf/abi.h"
#include "model/config.h"

namespace sluice::plan {

// How flows are tracked and which hash chooses slots. The hash that origins are for is left out: it depends
// on what was before.
uint32_t service_flags(const model::Service& service);

inline sl_slot_hash slot_hash_of(uint32_t flags) {
  return static_cast<sl_slot_hash>(flags >> SL_SERVICE_HASH_SHIFT & SL_SERVICE_HASH_MASK);
}
inline sl_slot_hash origin_hash_of(uint32_t flags) {
  return static_cast<sl_slot_hash>(flags >> SL_SERVICE_ORIGIN_HASH_SHIFT & SL_SERVICE_HASH_MASK);
}
inline uint32_t with_origin_hash(uint32_t flags, sl_slot_hash hash) {
  return (flags & ~(SL_SERVICE_HASH_MASK << SL_SERVICE_ORIGIN_HASH_SHIFT)) |
         static_cast<uint32_t>(hash) << SL_SERVICE_ORIGIN_HASH_SHIFT;
}

}  // namespace sluice::plan
