// sluice backend down, sluice backend up, sluice backend undrain
#include <fmt/format.h>

#include "cli/arguments.h"
#include "cli/commands.h"

namespace sluice::cli {
namespace {

struct Arguments {
  std::string service;
  std::string address;
};

int change_state(const Arguments& given, model::BackendState state, const Session& session) {
  const auto name = parse_backend_name(given.service, given.address);
  if (!name) return session.wrong_usage(name.error());
  model::BackendChange change;
  change.state = state;
  const bool up = state == model::BackendState::kUp;
  return session.changed(session.agent.change_backend(name->service, name->address, change),
                         fmt::format("{}: backend {} {}", name->service, name->address.to_string(),
                                     up ? "gets new flows again" : "is down: its connections break"));
}

void add(CLI::App* command, model::BackendState state, Actions& actions) {
  auto given = std::make_shared<Arguments>();
  command->add_option("SERVICE", given->service, "the service")->required();
  command->add_option("ADDRESS", given->address, "the backend")->required();
  actions[command] = [given, state](const Session& session) { return change_state(*given, state, session); };
}

}  // namespace

void add_backend_down(CLI::App& backend, Actions& actions) {
  CLI::App* command = backend.add_subcommand("down", "take a backend out at once");
  command->footer(R"(Its connections break; those to other backends stay where they are. It stays
listed, until 'sluice backend up'. To let its connections finish first:
'sluice backend drain'.

Examples:
  sluice backend down web 10.0.0.11)");
  add(command, model::BackendState::kDown, actions);
}

void add_backend_up(CLI::App& backend, Actions& actions) {
  CLI::App* command = backend.add_subcommand("up", "send a backend new flows again");
  command->footer(R"(After 'sluice backend drain' or 'sluice backend down'. A deadline of the drain
is forgotten.

Examples:
  sluice backend up web 10.0.0.11)");
  add(command, model::BackendState::kUp, actions);
}

void add_backend_undrain(CLI::App& backend, Actions& actions) {
  CLI::App* command = backend.add_subcommand("undrain", "the same as up");
  command->footer("Examples:\n  sluice backend undrain web 10.0.0.11");
  add(command, model::BackendState::kUp, actions);
}

}  // namespace sluice::cli
