#include "packet_bench.h"

#include <fmt/format.h>
#include <linux/bpf.h>

#include <algorithm>
#include <cmath>
#include <fstream>
#include <functional>
#include <limits>

#include "packet_wrapper.h"

namespace sluice::bench {
namespace {

Error failed(std::string what) {
  return Error{ErrorCode::kInternal, std::move(what)};
}

// 0 where the kernel does not tell.
uint64_t available_memory() {
  std::ifstream file("/proc/meminfo");
  std::string name, unit;
  for (uint64_t kilobytes = 0; file >> name >> kilobytes; std::getline(file, unit))
    if (name == "MemAvailable:") return kilobytes * 1024;
  return 0;
}

// Why the machine has too little memory for a table of so many flows; empty: it has enough.
std::string too_little_memory(uint32_t flows) {
  constexpr uint64_t kPerFlow = 512;  // bytes, of all four maps, rounded up generously
  constexpr uint64_t kMebi = 1 << 20;
  const uint64_t need = flows * kPerFlow, have = available_memory();
  if (need <= have / 2) return "";
  return fmt::format("its flow table needs {} MiB, and half of the {} MiB available is less", need / kMebi,
                     have / kMebi);
}

Result<> check_action(const RunDone& done) {
  if (done.action == XDP_TX) return ok();
  return failed(fmt::format("the action is {} instead of XDP_TX", done.action));
}

Result<> check_counters(const Counts& rise, uint64_t packets) {
  if (rise.not_forwarded() != 0)
    return failed(fmt::format("{} packets were passed or dropped", rise.not_forwarded()));
  if (rise.forwarded() != packets)
    return failed(fmt::format("the backends' counters rose by {} instead of {}", rise.forwarded(), packets));
  return ok();
}

// Whether all flows that will ever be in the table are in it.
bool nothing_new(const Counts& rise) {
  for (size_t event = 0; event < rise.flow_events.size(); ++event)
    if (event != SL_FLOW_ASKED && rise.flow_events[event] != 0) return false;
  return true;
}

Result<> check_table_use(const Case& which, const Counts& rise, uint64_t packets) {
  if (!nothing_new(rise)) return failed("the flow table changed during the run");
  const uint64_t asked = rise.flow_events[SL_FLOW_ASKED];
  switch (which.scenario->table) {
    case TableUse::kNone:
      return asked == 0 ? ok() : failed(fmt::format("the flow table was asked {} times", asked));
    case TableUse::kEvery:
      return asked == packets
                 ? ok()
                 : failed(fmt::format("the flow table was asked {} times for {} packets", asked, packets));
    case TableUse::kSome:
      break;
  }
  return asked != 0 ? ok() : failed("the flow table was never asked");
}

// Which flows a run has must show in who got packets: one backend with one flow, all of them with thousands.
Result<> check_spread(const Case& which, const Counts& rise) {
  constexpr uint32_t kMany = 4096;
  const auto used = static_cast<size_t>(
      std::ranges::count_if(rise.backends, [](const auto& each) { return each.second != 0; }));
  if (which.flows == 1 ? used == 1 : which.flows < kMany || used == rise.backends.size()) return ok();
  return failed(fmt::format("{} of {} backends got packets", used, rise.backends.size()));
}

}  // namespace

std::string Case::title() const {
  return fmt::format("{}, {} {}", scenario->name, flows, flows == 1 ? "flow" : "flows");
}

int Bench::program_of(const Case& which) const {
  return which.balancer ? which.balancer->program_fd() : wrapper_.bare_push_fd();
}

// Runs the program, and checks action, bytes and counters of the run. Where `rise` is given it gets the
// counters'.
Result<RunDone> Bench::checked_run(const Case& which, const RunPlan& plan, Counts* rise) {
  Counts before;
  if (which.balancer) before = SLUICE_TRY(which.balancer->counts());
  const RunDone done = SLUICE_TRY(wrapper_.run(program_of(which), plan));
  SLUICE_TRY(check_action(done));
  const Frame in = client_frame(vip(), done.last_flow);
  if (!which.balancer) {
    SLUICE_TRY(check_pushed(done.frame, in, BENCH_PUSH_SIZE));
    return done;
  }
  const IpAddress backend = SLUICE_TRY(check_ipip(done.frame, in, sender()));
  const Counts risen = SLUICE_TRY(which.balancer->counts()) - before;
  SLUICE_TRY(check_counters(risen, done.packets));
  const auto counted = risen.backends.find(backend);
  if (counted == risen.backends.end() || counted->second == 0)
    return failed(
        fmt::format("a packet went to {}, and no counter of that backend rose", backend.to_string()));
  if (rise != nullptr) *rise = risen;
  return done;
}

Result<> Bench::make_balancer(Case& which) {
  const Scenario& scenario = *which.scenario;
  if (scenario.shape == nullptr) return ok();
  const bool fills_table = scenario.table != TableUse::kNone;
  auto& shared = without_flows_[which.scenario];
  if (shared && !fills_table) {
    which.balancer = shared;
    return ok();
  }
  model::Config config = plain_config(fills_table ? which.flows : 0);
  scenario.shape(config);
  which.balancer = SLUICE_TRY(Balancer::make(config, sender()));
  if (!fills_table) shared = which.balancer;
  if (scenario.change == nullptr) return ok();

  const RunDone first = SLUICE_TRY(checked_run(which, {.flows = 1}));
  const IpAddress backend =
      SLUICE_TRY(check_ipip(first.frame, client_frame(vip(), first.last_flow), sender()));
  scenario.change(config, backend);
  return which.balancer->apply(config);
}

// One packet each of some flows, from all over their order.
Result<> Bench::check_flows(Case& which) {
  constexpr uint32_t kSome = 16;
  which.flows_checked = std::min(which.flows, kSome);
  for (uint32_t i = 0; i < which.flows_checked; ++i)
    SLUICE_TRY(
        checked_run(which, {.flows = which.flows, .first_flow = which.flows / which.flows_checked * i}));
  return ok();
}

// Every flow speaks until a whole round of them changes nothing in the table any more. A flow speaks twice in
// short order, so that it is known before many others have spoken.
Result<> Bench::fill_flow_table(Case& which) {
  constexpr int kRounds = 8;
  const uint32_t at_once = std::min(which.flows, 4096U);
  for (int round = 0; round < kRounds; ++round) {
    const Counts before = SLUICE_TRY(which.balancer->counts());
    for (uint32_t first = 0; first < which.flows; first += at_once)
      for (int twice = 0; twice < 2; ++twice)
        SLUICE_TRY(wrapper_.run(program_of(which), {which.flows, first, 0, at_once - 1}));
    if (nothing_new(SLUICE_TRY(which.balancer->counts()) - before)) return ok();
  }
  return failed("the flow table does not come to rest: it has no room for all flows");
}

Result<> Bench::choose_volume(Case& which, const Volume& volume) {
  constexpr uint64_t kSample = 1 << 16;
  double ns = std::numeric_limits<double>::max();
  for (int sample = 0; sample < 3; ++sample)
    ns = std::min(ns, SLUICE_TRY(checked_run(which, {which.flows, 0, kSample / 4, kSample})).ns_per_packet);
  if (ns <= 0) return failed("the clock stands still");
  const auto enough = static_cast<uint64_t>(std::ceil(volume.seconds * 1e9 / ns));
  const uint64_t wanted = volume.packets != 0 ? volume.packets : enough;
  which.packets = (wanted + which.flows - 1) / which.flows * which.flows;  // every flow as often as any other
  return ok();
}

Result<> Bench::prepare(Case& which, const Volume& volume) {
  const auto prepare = [&]() -> Result<> {
    const bool fills_table = which.scenario->table != TableUse::kNone;
    if (fills_table) which.skipped = too_little_memory(which.flows);
    if (!which.skipped.empty()) return ok();
    SLUICE_TRY(make_balancer(which));
    SLUICE_TRY(check_flows(which));
    if (fills_table) SLUICE_TRY(fill_flow_table(which));
    return choose_volume(which, volume);
  };
  auto prepared = prepare();
  return prepared.ok() ? ok() : std::move(prepared).error().within(which.title());
}

Result<> Bench::time(Case& which) {
  const auto time = [&]() -> Result<> {
    Counts rise;
    const RunDone done = SLUICE_TRY(
        checked_run(which, {which.flows, 0, which.packets / 10, which.packets}, &rise));  // warm after others
    if (which.balancer) {
      SLUICE_TRY(check_table_use(which, rise, done.packets));
      SLUICE_TRY(check_spread(which, rise));
      which.flow_events.resize(rise.flow_events.size());
      std::ranges::transform(which.flow_events, rise.flow_events, which.flow_events.begin(), std::plus<>());
    }
    which.ns.push_back(done.ns_per_packet);
    ++which.runs_checked;
    return ok();
  };
  auto timed = time();
  return timed.ok() ? ok() : std::move(timed).error().within(which.title());
}

Result<> Bench::finish(Case& which) {
  if (!which.balancer) return ok();
  auto counted = which.balancer->flow_entries();
  if (!counted.ok()) return std::move(counted).error().within(which.title());
  const size_t entries = *counted;
  which.flow_entries = entries;
  const TableUse use = which.scenario->table;
  const bool as_expected = use == TableUse::kNone    ? entries == 0
                           : use == TableUse::kEvery ? entries == which.flows
                                                     : entries > 0 && entries <= which.flows;
  return as_expected ? ok()
                     : failed(fmt::format("{}: there are {} flows in the table", which.title(), entries));
}

}  // namespace sluice::bench
