#include "tally.h"

namespace sluice::bench {
namespace {

const char* name_of(Cause cause) {
  switch (cause) {
    case Cause::kReset:
      return "reset";
    case Cause::kClosed:
      return "closed";
    case Cause::kSilent:
      return "silent";
    case Cause::kWrongEcho:
      return "wrong_echo";
    case Cause::kRefused:
      return "refused";
    case Cause::kOther:
      break;
  }
  return "other";
}

nlohmann::json by_cause(const std::map<Cause, uint64_t>& counts) {
  auto json = nlohmann::json::object();
  for (const auto& [cause, count] : counts) json[name_of(cause)] = count;
  return json;
}

}  // namespace

nlohmann::json report(const Tally& tally, const std::map<std::string, uint64_t>& open, uint64_t opening) {
  auto broken = nlohmann::json::object();
  for (const auto& [backend, counts] : tally.broken) broken[backend] = by_cause(counts);
  const std::chrono::duration<double, std::milli> slowest = tally.slowest_echo;
  return {{"open", open},           {"opening", opening},
          {"opened", tally.opened}, {"ended", tally.ended},
          {"echoes", tally.echoes}, {"slowest_echo_ms", slowest.count()},
          {"broken", broken},       {"not_opened", by_cause(tally.not_opened)}};
}

}  // namespace sluice::bench
