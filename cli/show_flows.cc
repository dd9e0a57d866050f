// sluice show flows
#include "cli/arguments.h"
#include "cli/commands.h"
#include "cli/show_text.h"

namespace sluice::cli {
namespace {

int show_flows(const Session& session) {
  const auto status = session.agent.status();
  if (!status) return session.failed(status.error());
  if (session.json) return session.document({{"flow_table", api::encode(*status)["flow_table"]}});
  session.out << flow_table_text(status->flow_table, session.colours);
  return kDone;
}

}  // namespace

void add_show_flows(CLI::App& show, Actions& actions) {
  CLI::App* command = show.add_subcommand("flows", "the flow table, and what packets did there");
  command->footer(R"(In it are TCP flows of slots that a change moved, until those have settled; UDP
flows; and every flow of a service with 'flows: tracked'. The limit holds for
TCP and for UDP, each for itself. To raise it, see limits.flows in the
configuration file.

Examples:
  sluice show flows
  watch -n1 sluice show flows
  sluice show -- flows                a service that is called flows
  sluice show flows --json | jq '.flow_table.entries')");
  actions[command] = [service = show.get_option("SERVICE")](const Session& session) {
    return service->count() == 0 ? show_flows(session) : session.wrong_usage(no_service_here("show flows"));
  };
}

}  // namespace sluice::cli
