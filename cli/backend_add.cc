// sluice backend add
#include <fmt/format.h>

#include "cli/arguments.h"
#include "cli/commands.h"

namespace sluice::cli {
namespace {

struct Arguments {
  std::string service;
  std::string address;
  std::string weight = "1";
  std::string next_hop = "auto";
};

Result<model::Backend> parse(const Arguments& given) {
  model::Backend backend;
  const BackendName name = SLUICE_TRY(parse_backend_name(given.service, given.address));
  backend.address = name.address;
  backend.weight = SLUICE_TRY(parse_weight(given.weight));
  backend.next_hop = SLUICE_TRY(parse_next_hop(given.next_hop));
  // The service's own VIP is the agent's to know and to check.
  model::Service of;
  of.name = name.service;
  SLUICE_TRY(model::validate(backend, of));
  return backend;
}

int add(const Arguments& given, const Session& session) {
  const auto backend = parse(given);
  if (!backend) return session.wrong_usage(backend.error());
  return session.changed(session.agent.add_backend(given.service, *backend),
                         fmt::format("{}: added backend {} (weight {})", given.service,
                                     backend->address.to_string(), backend->weight));
}

}  // namespace

void add_backend_add(CLI::App& backend, Actions& actions) {
  auto given = std::make_shared<Arguments>();
  CLI::App* command = backend.add_subcommand("add", "add a backend to a service");
  command->add_option("SERVICE", given->service, "the service")->required();
  command->add_option("ADDRESS", given->address, "the backend's own IPv4 or IPv6 address")->required();
  command->add_option("--weight", given->weight, "its share, 0 to 65535; default 1")->type_name("N");
  command->add_option("--next-hop", given->next_hop, "a MAC address, or auto (default)")->type_name("MAC");
  command->footer(R"(The backend takes packets for the VIP out of an IP-in-IP tunnel and answers
clients itself. Connections to other backends stay where they are.

Examples:
  sluice backend add web 10.0.0.11
  sluice backend add web 10.0.0.12 --weight 2
  sluice backend add web 2001:db8:b::13 --next-hop 02:00:5e:00:53:01)");
  actions[command] = [given](const Session& session) { return add(*given, session); };
}

}  // namespace sluice::cli
