// sluice show config
#include "cli/arguments.h"
#include "cli/commands.h"

namespace sluice::cli {
namespace {

int show_config(const Session& session) {
  const auto config = session.agent.config();
  return config ? session.document(*config) : session.failed(config.error());
}

}  // namespace

void add_show_config(CLI::App& show, Actions& actions) {
  CLI::App* command = show.add_subcommand("config", "the desired state, as JSON");
  command->footer(R"(It is a configuration file too: every JSON document is YAML.

Examples:
  sluice show config
  sluice show config > sluice.yaml)");
  actions[command] = [service = show.get_option("SERVICE")](const Session& session) {
    return service->count() == 0 ? show_config(session) : session.wrong_usage(no_service_here("show config"));
  };
}

}  // namespace sluice::cli
