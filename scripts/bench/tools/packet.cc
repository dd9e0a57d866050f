// bench-packet: nanoseconds a packet, by scenario and number of flows.
//
// The program under test runs in the kernel behind a wrapper that gives every run a fresh frame
// (wrapper.bpf.c). All scenarios take turns in one process; each figure is quoted beside the floor's of the
// same turns.
#include <fmt/format.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <bit>
#include <cerrno>
#include <charconv>
#include <fstream>
#include <optional>

#include "base/version.h"
#include "packet_report.h"

namespace {

using namespace sluice;
using namespace sluice::bench;

struct Options {
  std::optional<uint32_t> runs;
  std::optional<double> seconds;
  uint64_t packets = 0;
  std::vector<std::string> flows, scenarios;
  std::string json_file;
  bool is_short = false;
};

// One line that is written over on a terminal, lines of their own elsewhere.
class Progress {
 public:
  void say(const std::string& what) const {
    fmt::print(stderr, fmt::runtime(is_terminal_ ? "\r  {:<76.76}" : "  {}\n"), what);
    std::fflush(stderr);
  }
  void end() const {
    if (is_terminal_) fmt::print(stderr, "\r{:<78}\r", "");
  }

 private:
  const bool is_terminal_ = ::isatty(STDERR_FILENO) == 1;
};

// "4096" or "2^12".
Result<uint32_t> parse_flows(const std::string& text) {
  const bool is_power = text.starts_with("2^");
  const char* const end = text.data() + text.size();
  uint32_t number = 0;
  const auto read = std::from_chars(text.data() + (is_power ? 2 : 0), end, number);
  const uint32_t flows = !is_power ? number : number < 32 ? 1U << number : 0;
  if (read.ec == std::errc{} && read.ptr == end && std::has_single_bit(flows) && flows <= kMaxBenchFlows)
    return flows;
  return Error{ErrorCode::kInvalid,
               fmt::format("--flows: '{}' is no power of two from 1 to 2^22; write 4096 or 2^12", text)};
}

Result<const Scenario*> parse_scenario(const std::string& text) {
  if (const Scenario* found = find_scenario(text)) return found;
  std::string all;
  for (const Scenario& each : scenarios()) all += fmt::format(" {}", each.name);
  return Error{ErrorCode::kInvalid, fmt::format("--scenario: there is no '{}', but{}", text, all)};
}

Result<Parameters> parameters_from(const Options& options) {
  Parameters parameters;
  parameters.runs = options.runs.value_or(options.is_short ? 3 : 9);
  parameters.volume = {options.seconds.value_or(options.is_short ? 0.03 : 0.12), options.packets};
  if (options.is_short) parameters.flows = {1, 1U << 12};
  if (!options.flows.empty()) parameters.flows.clear();
  for (const auto& text : options.flows) parameters.flows.push_back(SLUICE_TRY(parse_flows(text)));
  std::ranges::sort(parameters.flows);
  parameters.flows.erase(std::ranges::unique(parameters.flows).begin(), parameters.flows.end());
  std::vector<const Scenario*> wanted;
  for (const auto& text : options.scenarios) wanted.push_back(SLUICE_TRY(parse_scenario(text)));
  for (const Scenario& each : scenarios())
    if (wanted.empty() || each.name == kFloor || std::ranges::count(wanted, &each) != 0)
      parameters.scenarios.push_back(&each);
  return parameters;
}

// The scenarios of one number of flows stand together.
std::vector<Case> cases_of(const Parameters& parameters) {
  std::vector<Case> cases;
  for (const uint32_t flows : parameters.flows)
    for (const Scenario* scenario : parameters.scenarios) {
      cases.emplace_back();
      cases.back().scenario = scenario;
      cases.back().flows = flows;
    }
  return cases;
}

Result<std::vector<Case>> measure(const Parameters& parameters, const Progress& progress) {
  Bench bench(SLUICE_TRY(Wrapper::load(client_frame(vip(), 0))));
  std::vector<Case> cases = cases_of(parameters);
  for (Case& each : cases) {
    progress.say(fmt::format("setting up and checking: {}", each.title()));
    SLUICE_TRY(bench.prepare(each, parameters.volume));
  }
  for (uint32_t run = 0; run < parameters.runs; ++run) {
    progress.say(fmt::format("run {} of {}", run + 1, parameters.runs));
    // Each begins once, so that nobody always follows the same other one.
    for (size_t i = 0; i < cases.size(); ++i)
      if (Case& each = cases[(i + run) % cases.size()]; each.skipped.empty()) SLUICE_TRY(bench.time(each));
  }
  for (Case& each : cases) SLUICE_TRY(bench.finish(each));
  return cases;
}

Result<> write_json(const std::string& name, const nlohmann::json& document) {
  std::ofstream file(name);
  file << document.dump(2) << "\n";
  file.close();
  if (file) return ok();
  return system_error(fmt::format("write {}", name), errno);
}

Result<> bench_packets(const Options& options, const Parameters& parameters) {
  const Progress progress;
  auto measured = measure(parameters, progress);
  progress.end();
  const std::vector<Case> cases = SLUICE_TRY(std::move(measured));
  fmt::print("{}\n{}{}", table_of(cases), verdict_of(cases), caveats_of(cases));
  return options.json_file.empty() ? ok() : write_json(options.json_file, json_of(parameters, cases));
}

void describe(CLI::App& app, Options& options) {
  std::string scenario_list;
  for (const Scenario& each : scenarios()) scenario_list += fmt::format("  {:<15}{}\n", each.name, each.what);
  app.footer("Scenarios:\n" + scenario_list +
             "\nNothing is attached to any interface. Output, actions and counters are checked\n"
             "before and after the timing; the verdict on the figures is printed only.\n"
             "Exit codes: 0 done, 1 failed or a check failed, 2 wrong usage.");
  app.set_version_flag("--version", std::string("bench-packet ") + kVersion);
  app.add_option("--runs", options.runs, "timed runs of each (default: 9)")->check(CLI::Range(1U, 10000U));
  app.add_option("--seconds", options.seconds, "least length of a run (default: 0.12)")
      ->check(CLI::Range(0.001, 10.0));
  app.add_option("--packets", options.packets, "packets a run instead, rounded up to whole rounds of flows")
      ->check(CLI::Range(uint64_t{1}, uint64_t{1} << 30))
      ->excludes("--seconds");
  app.add_option("--flows", options.flows, "numbers of flows (default: 1,2^12,2^18,2^22)")->delimiter(',');
  app.add_option("--scenario", options.scenarios, "which scenarios (default: all); the floor always")
      ->delimiter(',');
  app.add_option("--json", options.json_file, "file to write everything to");
  app.add_flag("--short", options.is_short, "1 and 2^12 flows, 3 runs of 0.03 s: to see that it works");
}

}  // namespace

int main(int argc, char** argv) {
  Options options;
  CLI::App app{"Times Sluice's XDP program: nanoseconds a packet."};
  describe(app, options);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : 2;
  }
  const auto parameters = parameters_from(options);
  if (!parameters.ok()) {
    fmt::print(stderr, "bench-packet: {}\n", parameters.error().message);
    return 2;
  }
  const auto done = bench_packets(options, *parameters);
  if (done.ok()) return 0;
  fmt::print(stderr, "bench-packet: {}\n", done.error().message);
  return 1;
}
