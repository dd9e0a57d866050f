#include "agent/options.h"

#include <CLI/CLI.hpp>

#include "base/version.h"

namespace sluice::agent {

ParsedOptions parse_options(int argc, char** argv) {
  ParsedOptions parsed;
  Options& options = parsed.options;
  CLI::App app{
      "The agent of Sluice, a layer-4 load balancer in the kernel's XDP hook: it loads the data plane,\n"
      "keeps it true to the desired state and answers the 'sluice' command."};
  app.footer(
      "Examples:\n"
      "  sluiced --interface eth0             run on eth0 with defaults\n"
      "  sluiced                              run as /etc/sluice/sluice.yaml says\n"
      "  sluiced --detach                     take Sluice out of the kernel\n\n"
      "When the agent stops, packets keep flowing as it left them; --detach ends that.\n"
      "Exit codes: 0 stopped as asked, 1 failed, 2 wrong usage.");
  app.add_option("--config", options.config_path,
                 "configuration file, YAML (default: /etc/sluice/sluice.yaml)");
  app.add_option("--interface", options.interfaces,
                 "attach to this interface instead of the configuration's; may be repeated");
  app.add_option("--state-dir", options.state_directory, "where the desired state is kept")
      ->capture_default_str();
  app.add_option("--socket", options.socket, "where the API is served")->capture_default_str();
  app.add_option("--bpffs", options.bpffs, "bpffs in which the kernel's tables are pinned")
      ->capture_default_str();
  app.add_option("--log-level", options.log_level, "error, warning, info or debug")
      ->check(CLI::IsMember({"error", "warning", "info", "debug"}))
      ->capture_default_str();
  app.add_flag("--detach", options.detach, "remove Sluice's programs and tables from the kernel and exit");
  app.set_version_flag("--version", std::string("sluiced ") + kVersion);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    parsed.exit_code = app.exit(error) == 0 ? 0 : 2;
  }
  return parsed;
}

}  // namespace sluice::agent
