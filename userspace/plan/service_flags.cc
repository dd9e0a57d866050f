#include "plan/service_flags.h"

namespace sluice::plan {
namespace {

uint32_t tracking_flag(const model::Service& service) {
  switch (service.flows) {
    case model::FlowTracking::kTracked:
      return SL_SERVICE_TRACK_ALL;
    case model::FlowTracking::kStateless:
      return SL_SERVICE_TRACK_NONE;
    case model::FlowTracking::kAuto:
      break;
  }
  return service.protocol == model::Protocol::kUdp ? SL_SERVICE_TRACK_ALL : 0;
}

sl_slot_hash slot_hash(model::FlowHash hash) {
  switch (hash) {
    case model::FlowHash::kSourceIp:
      return SL_HASH_SOURCE;
    case model::FlowHash::kSourceIpPort:
      return SL_HASH_SOURCE_PORT;
    case model::FlowHash::kFiveTuple:
      break;
  }
  return SL_HASH_FLOW;
}

}  // namespace

uint32_t service_flags(const model::Service& service) {
  return tracking_flag(service) | static_cast<uint32_t>(slot_hash(service.hash)) << SL_SERVICE_HASH_SHIFT;
}

}  // namespace sluice::plan
