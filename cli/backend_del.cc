// sluice backend del
#include <fmt/format.h>

#include "cli/arguments.h"
#include "cli/commands.h"

namespace sluice::cli {
namespace {

struct Arguments {
  std::string service;
  std::string address;
};

int del(const Arguments& given, const Session& session) {
  const auto name = parse_backend_name(given.service, given.address);
  if (!name) return session.wrong_usage(name.error());
  return session.changed(session.agent.delete_backend(name->service, name->address),
                         fmt::format("{}: deleted backend {}", name->service, name->address.to_string()));
}

}  // namespace

void add_backend_del(CLI::App& backend, Actions& actions) {
  auto given = std::make_shared<Arguments>();
  CLI::App* command = backend.add_subcommand("del", "delete a backend from a service");
  command->add_option("SERVICE", given->service, "the service")->required();
  command->add_option("ADDRESS", given->address, "the backend")->required();
  command->footer(R"(Its connections end. To let them finish first: sluice backend drain

Examples:
  sluice backend del web 10.0.0.11)");
  actions[command] = [given](const Session& session) { return del(*given, session); };
}

}  // namespace sluice::cli
