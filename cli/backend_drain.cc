// sluice backend drain, sluice backend undrain
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
  const bool drain = state == model::BackendState::kDrain;
  return session.changed(session.agent.change_backend(name->service, name->address, change),
                         fmt::format("{}: backend {} {}", name->service, name->address.to_string(),
                                     drain ? "drains: it gets no new flows" : "gets new flows again"));
}

void add(CLI::App* command, model::BackendState state, Actions& actions) {
  auto given = std::make_shared<Arguments>();
  command->add_option("SERVICE", given->service, "the service")->required();
  command->add_option("ADDRESS", given->address, "the backend")->required();
  actions[command] = [given, state](const Session& session) { return change_state(*given, state, session); };
}

}  // namespace

void add_backend_drain(CLI::App& backend, Actions& actions) {
  CLI::App* command = backend.add_subcommand("drain", "send a backend no new flows");
  command->footer(R"(Open connections stay on it until they end. 'sluice show SERVICE' shows its
packet rate fall; then it can be deleted.

Examples:
  sluice backend drain web 10.0.0.11)");
  add(command, model::BackendState::kDrain, actions);
}

void add_backend_undrain(CLI::App& backend, Actions& actions) {
  CLI::App* command = backend.add_subcommand("undrain", "send a drained backend new flows again");
  command->footer("Examples:\n  sluice backend undrain web 10.0.0.11");
  add(command, model::BackendState::kUp, actions);
}

}  // namespace sluice::cli
