// bench-peer: both ends of the connections that scripts/bench/churn watches.
#include <fmt/format.h>
#include <sys/resource.h>

#include <CLI/CLI.hpp>
#include <algorithm>

#include "base/result.h"
#include "connect.h"
#include "message.h"
#include "serve.h"

namespace {

using namespace sluice;

constexpr rlim_t kDescriptors = 100'000;
constexpr rlim_t kOtherDescriptors = 100;  // than connections

struct Options {
  bench::ServeOptions serve;
  bench::ConnectOptions connect;
  std::string vip;
  double interval = 3;
  double lifetime = 60;
  double patience = 10;
};

// As far as this process may: without CAP_SYS_RESOURCE that is the hard limit.
rlim_t raise_descriptor_limit() {
  rlimit limit{};
  ::getrlimit(RLIMIT_NOFILE, &limit);
  for (const rlim_t wanted : {std::max(limit.rlim_max, kDescriptors), limit.rlim_max}) {
    const rlimit raised{.rlim_cur = wanted, .rlim_max = wanted};
    if (::setrlimit(RLIMIT_NOFILE, &raised) == 0) return wanted;
  }
  return limit.rlim_cur;
}

void add_serve(CLI::App& app, Options& options) {
  auto* command = app.add_subcommand("serve", "accept, say NAME, echo messages");
  command->add_option("NAME", options.serve.name)->required()->check([](const std::string& name) {
    return name.empty() || name.size() > bench::kMaxNameLength ? "a name has 1 to 16 characters" : "";
  });
  command->add_option("PORT", options.serve.ports)->required();
}

void add_connect(CLI::App& app, Options& options) {
  auto* command = app.add_subcommand("connect", "keep connections open; 'report' on stdin asks for a count");
  command->add_option("VIP:PORT", options.vip)->required();
  command->add_option("--connections", options.connect.connections)->capture_default_str();
  command->add_option("--rate", options.connect.opened_per_second, "connections opened a second")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  command->add_option("--interval", options.interval, "seconds between a connection's messages")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  command->add_option("--lifetime", options.lifetime, "seconds until a connection is closed and replaced")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  command->add_option("--patience", options.patience, "seconds without an echo until it counts as broken")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
}

Result<> run(Options& options, bool is_server) {
  const rlim_t descriptors = raise_descriptor_limit();
  if (is_server) return bench::serve(options.serve);
  if (options.connect.connections + kOtherDescriptors > descriptors)
    return Error{ErrorCode::kPermission,
                 fmt::format("{} connections need more than the {} files that may be open: raise 'ulimit -n'",
                             options.connect.connections, descriptors)};
  options.connect.vip = SLUICE_TRY(Endpoint::parse(options.vip));
  options.connect.interval = std::chrono::duration<double>(options.interval);
  options.connect.lifetime = std::chrono::duration<double>(options.lifetime);
  options.connect.patience = std::chrono::duration<double>(options.patience);
  return bench::connect(options.connect);
}

}  // namespace

int main(int argc, char** argv) {
  Options options;
  CLI::App app{"Both ends of many TCP connections through a load balancer."};
  app.footer(
      "Examples:\n"
      "  bench-peer serve b1 8001 8002\n"
      "  bench-peer connect 192.0.2.1:8001 --connections 10000\n"
      "Exit codes: 0 done, 1 failed, 2 wrong usage.");
  app.require_subcommand(1);
  add_serve(app, options);
  add_connect(app, options);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : 2;
  }
  const auto done = run(options, app.got_subcommand("serve"));
  if (done.ok()) return 0;
  fmt::print(stderr, "bench-peer: {}\n", done.error().message);
  return 1;
}
