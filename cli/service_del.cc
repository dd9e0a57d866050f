// sluice service del
#include "cli/arguments.h"
#include "cli/commands.h"

namespace sluice::cli {
namespace {

int del(const std::string& name, const Session& session) {
  if (const auto good = check_service_name(name); !good) return session.wrong_usage(good.error());
  return session.changed(session.agent.delete_service(name), name + ": deleted service and its backends");
}

}  // namespace

void add_service_del(CLI::App& service, Actions& actions) {
  auto name = std::make_shared<std::string>();
  CLI::App* command = service.add_subcommand("del", "delete a service and its backends");
  command->add_option("NAME", *name, "the service")->required();
  command->footer(R"(Its packets go to this machine's own stack from then on. To let clients finish
first, drain its backends.

Examples:
  sluice service del web)");
  actions[command] = [name](const Session& session) { return del(*name, session); };
}

}  // namespace sluice::cli
