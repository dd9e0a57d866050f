#include "packet_report.h"

#include <fmt/format.h>
#include <sys/utsname.h>

#include <algorithm>
#include <ctime>
#include <fstream>
#include <thread>

#include "base/version.h"

namespace sluice::bench {
namespace {

using nlohmann::json;

constexpr double kTolerance = 1.03;  // steady state to bare ring, by min

struct Figures {
  double min, median, max;  // ns a packet
};

Figures figures_of(const Case& which) {
  std::vector<double> sorted = which.ns;
  std::ranges::sort(sorted);
  const size_t half = sorted.size() / 2;
  const double median = sorted.size() % 2 == 1 ? sorted[half] : (sorted[half - 1] + sorted[half]) / 2;
  return {sorted.front(), median, sorted.back()};
}

const Case* find_case(const std::vector<Case>& cases, std::string_view scenario, uint32_t flows) {
  const auto found = std::ranges::find_if(cases, [&](const Case& each) {
    return each.scenario->name == scenario && each.flows == flows && !each.ns.empty();
  });
  return found == cases.end() ? nullptr : &*found;
}

struct Ratio {
  double min, median;
};

Ratio ratio(const Figures& a, const Figures& b) {
  return {a.min / b.min, a.median / b.median};
}

struct Verdict {
  const Case* steady;
  Ratio to_bare_ring;
  bool passes() const { return to_bare_ring.min <= kTolerance; }
};

std::vector<Verdict> verdicts_of(const std::vector<Case>& cases) {
  std::vector<Verdict> verdicts;
  for (const Case& each : cases) {
    const Case* bare = find_case(cases, kBareRing, each.flows);
    if (each.scenario->name == kSteady && !each.ns.empty() && bare != nullptr)
      verdicts.push_back({&each, ratio(figures_of(each), figures_of(*bare))});
  }
  return verdicts;
}

bool is_table_untouched(const Case& which) {
  return which.flow_entries == 0U &&
         std::ranges::all_of(which.flow_events, [](uint64_t n) { return n == 0; });
}

json flow_table_of(const Case& which) {
  constexpr const char* kEvents[] = {
#define SL_NAME(enumerator, name, text) name,
      SL_FLOW_EVENTS(SL_NAME)
#undef SL_NAME
  };
  if (!which.flow_entries) return nullptr;
  json events = json::object();
  for (size_t i = 0; i < which.flow_events.size(); ++i) events[kEvents[i]] = which.flow_events[i];
  return {{"entries", *which.flow_entries}, {"events_in_timed_runs", events}};
}

json case_json(const std::vector<Case>& cases, const Case& which) {
  json written{{"scenario", which.scenario->name}, {"what", which.scenario->what}, {"flows", which.flows}};
  if (which.ns.empty()) {
    written["skipped"] = which.skipped;
    return written;
  }
  const Figures figures = figures_of(which);
  written["packets_a_run"] = which.packets;
  written["ns_a_packet"] = {
      {"min", figures.min}, {"median", figures.median}, {"max", figures.max}, {"runs", which.ns}};
  if (const Case* floor = find_case(cases, kFloor, which.flows)) {
    const Ratio times = ratio(figures, figures_of(*floor));
    written["times_the_floor"] = {{"min", times.min}, {"median", times.median}};
  }
  written["checks"] = {{"flows_before_timing", which.flows_checked}, {"timed_runs", which.runs_checked}};
  written["flow_table"] = flow_table_of(which);
  return written;
}

std::string first_line_after(const char* path, std::string_view key) {
  std::ifstream file(path);
  for (std::string line; std::getline(file, line);)
    if (line.starts_with(key))
      if (const size_t colon = line.find(": "); colon != std::string::npos) return line.substr(colon + 2);
  return "unknown";
}

// A number that the kernel keeps in a file; -1: it keeps none.
double number_in(const char* path) {
  double number = -1;
  std::ifstream(path) >> number;
  return number;
}

bool has_jit() {
  return number_in("/proc/sys/net/core/bpf_jit_enable") > 0;
}
bool counts_run_time() {
  return number_in("/proc/sys/kernel/bpf_stats_enabled") > 0;
}

json machine_json() {
  utsname system{};
  ::uname(&system);
  return {{"kernel", system.release},
          {"machine", system.machine},
          {"cpu", first_line_after("/proc/cpuinfo", "model name")},
          {"cpus", std::thread::hardware_concurrency()},
          {"load", number_in("/proc/loadavg")},
          {"jit", has_jit()},
          {"bpf_stats", counts_run_time()}};
}

}  // namespace

std::string table_of(const std::vector<Case>& cases) {
  std::string text = fmt::format("{:>9}  {:<18}{:>27}{:>22}\n{:>9}  {:<18}{:>9}{:>9}{:>9}{:>12}{:>10}\n", "",
                                 "", "ns a packet", "times the floor", "flows", "scenario", "min", "median",
                                 "max", "min", "median");
  uint32_t last = 0;
  for (const Case& each : cases) {
    text += fmt::format("{:>9}  {:<18}", each.flows == last ? "" : fmt::to_string(each.flows),
                        each.scenario->name);
    last = each.flows;
    if (each.ns.empty()) {
      text += fmt::format("  skipped\n{:>13}{}\n", "", each.skipped);
      continue;
    }
    const Figures figures = figures_of(each);
    text += fmt::format("{:>9.1f}{:>9.1f}{:>9.1f}", figures.min, figures.median, figures.max);
    const Ratio times = ratio(figures, figures_of(*find_case(cases, kFloor, each.flows)));
    text += fmt::format("{:>12.2f}{:>10.2f}\n", times.min, times.median);
  }
  return text;
}

std::string verdict_of(const std::vector<Case>& cases) {
  std::string text;
  bool untouched = true;
  for (const Verdict& each : verdicts_of(cases)) {
    const Ratio& times = each.to_bare_ring;
    text += fmt::format("{}  steady / bare-ring at {:>7} {} {:.3f} by min, {:.3f} by median\n",
                        each.passes() ? "PASS" : "FAIL", each.steady->flows,
                        each.steady->flows == 1 ? "flow: " : "flows:", times.min, times.median);
    untouched = untouched && is_table_untouched(*each.steady);
  }
  if (text.empty()) return text;
  return text + (untouched ? "PASS  steady: the flow table is empty, and no timed packet asked it\n"
                           : "FAIL  steady: the flow table was used\n");
}

std::string caveats_of(const std::vector<Case>& cases) {
  constexpr double kQuiet = 1.1;  // median to min of the floor, whose work is always the same
  std::string text;
  double worst = 1;
  for (const Case& each : cases)
    if (each.scenario->name == kFloor)
      worst = std::max(worst, figures_of(each).median / figures_of(each).min);
  if (worst > kQuiet)
    text +=
        fmt::format("NOTE  the machine was busy (floor: median {:.2f} times min): go by min alone\n", worst);
  if (!has_jit()) text += "NOTE  BPF programs are interpreted: net.core.bpf_jit_enable is 0\n";
  if (counts_run_time()) text += "NOTE  kernel.bpf_stats_enabled is on and may add to every figure\n";
  return text;
}

json json_of(const Parameters& parameters, const std::vector<Case>& cases) {
  json scenarios = json::array(), timed = json::array(), verdicts = json::array();
  for (const Scenario* each : parameters.scenarios) scenarios.push_back(each->name);
  for (const Case& each : cases) timed.push_back(case_json(cases, each));
  for (const Verdict& each : verdicts_of(cases))
    verdicts.push_back(
        {{"flows", each.steady->flows},
         {"steady_to_bare_ring", {{"min", each.to_bare_ring.min}, {"median", each.to_bare_ring.median}}},
         {"passes", each.passes()},
         {"flow_table_untouched", is_table_untouched(*each.steady)}});
  return {{"bench", "packet"},
          {"version", kVersion},
          {"unix_time", std::time(nullptr)},
          {"machine", machine_json()},
          {"parameters",
           {{"runs", parameters.runs},
            {"seconds", parameters.volume.seconds},
            {"packets", parameters.volume.packets},
            {"flows", parameters.flows},
            {"scenarios", scenarios},
            {"frame_bytes", client_frame(vip(), 0).size()},
            {"backends", kBackends},
            {"ring", model::kDefaultRingSlots},
            {"tolerance", kTolerance}}},
          {"cases", timed},
          {"verdicts", verdicts}};
}

}  // namespace sluice::bench
