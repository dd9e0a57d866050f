// sluice show; also what `sluice`, `sluice service` and `sluice backend` do
#include <algorithm>

#include "cli/arguments.h"
#include "cli/commands.h"
#include "cli/show_text.h"

namespace sluice::cli {
namespace {

Look look(const Session& session) {
  return {.colours = session.colours, .now = session.clock.unix_time()};
}

int show_service(const api::Status& status, const std::string& name, const Session& session) {
  const auto found = std::ranges::find(status.services, name,
                                       [](const api::ServiceStatus& service) { return service.wanted.name; });
  if (found == status.services.end())
    return session.failed(Error{ErrorCode::kNotFound, "no service is called " + model::in_quotes(name) +
                                                          ": 'sluice show' lists those there are"});
  if (session.json) return session.document(api::encode(*found));
  session.out << service_text(*found, look(session));
  return kDone;
}

int show(const std::string& name, const Session& session) {
  if (!name.empty())
    if (const auto good = check_service_name(name); !good) return session.wrong_usage(good.error());
  const auto status = session.agent.status();
  if (!status) return session.failed(status.error());
  if (!name.empty()) return show_service(*status, name, session);
  if (session.json) return session.document(api::encode(*status));
  session.out << status_text(*status, look(session));
  return kDone;
}

}  // namespace

CLI::App* add_show(CLI::App& root, Actions& actions) {
  auto name = std::make_shared<std::string>();
  CLI::App* command = root.add_subcommand("show", "services, backends, states and rates");
  command->add_option("SERVICE", *name, "only this service, with all its details");
  command->footer(R"(States:
  up          gets new flows
  drain       gets no new flows; open connections stay on it
  down        gets nothing: 'sluice backend up' sends it new flows again
  unresolved  the way to it is not known: the line below says why

RING is the share of the service's ring, and so of new flows. Rates are over
about the last second, from clients to backends. Flows that remain are those in
the flow table: not closed, and not silent for longer than the grace period.

Examples:
  sluice show
  sluice show web
  sluice show drops
  sluice show flows
  sluice show -- drops                a service that is called drops
  watch -n1 sluice show web
  sluice show --json | jq '.services[].wanted.name')");
  actions[command] = [name](const Session& session) { return show(*name, session); };
  return command;
}

}  // namespace sluice::cli
