// sluice service set
#include <fmt/format.h>

#include <vector>

#include "cli/arguments.h"
#include "cli/commands.h"

namespace sluice::cli {
namespace {

struct Arguments {
  std::string name;
  std::optional<std::string> hash;
  std::optional<std::string> flows;
  std::optional<std::string> ring;
};

Result<model::ServiceChange> parse(const Arguments& given) {
  if (!given.hash && !given.flows && !given.ring)
    return Error{ErrorCode::kInvalid, "nothing to set: give --hash, --flows, --ring or several of them"};
  SLUICE_TRY(check_service_name(given.name));
  model::ServiceChange change;
  if (given.hash) change.hash = SLUICE_TRY(model::parse_flow_hash(*given.hash));
  if (given.flows) change.flows = SLUICE_TRY(model::parse_flow_tracking(*given.flows));
  if (given.ring) {
    change.ring_slots = SLUICE_TRY(parse_ring_slots(*given.ring));
    SLUICE_TRY(check_ring_slots(given.name, *change.ring_slots));
  }
  return change;
}

std::string in_words(const std::string& name, const model::ServiceChange& change) {
  std::vector<std::string> parts;
  if (change.hash) parts.push_back(fmt::format("hash {}", to_string(*change.hash)));
  if (change.flows) parts.push_back(fmt::format("flows {}", to_string(*change.flows)));
  if (change.ring_slots) parts.push_back(fmt::format("a ring of {} slots", *change.ring_slots));
  return fmt::format("{}: set service to {}", name, fmt::join(parts, ", "));
}

int set(const Arguments& given, const Session& session) {
  const auto change = parse(given);
  if (!change) return session.wrong_usage(change.error());
  return session.changed(session.agent.change_service(given.name, *change), in_words(given.name, *change));
}

}  // namespace

void add_service_set(CLI::App& service, Actions& actions) {
  auto given = std::make_shared<Arguments>();
  CLI::App* command = service.add_subcommand("set", "change a service's hash, flows or ring");
  command->add_option("NAME", given->name, "the service")->required();
  command->add_option("--hash", given->hash, "5-tuple, source-ip or source-ip,port")->type_name("HOW");
  command->add_option("--flows", given->flows, "auto, tracked or stateless")->type_name("HOW");
  command->add_option("--ring", given->ring, "size, a power of two")->type_name("SLOTS");
  command->footer(R"(What is not given stays as it is. Open connections stay where they are. Those of
a stateless service do not: nothing remembers them, so they follow the new ring.
What the words mean: sluice service add --help

Examples:
  sluice service set web --hash source-ip
  sluice service set web --ring 131072
  sluice service set dns --flows stateless)");
  actions[command] = [given](const Session& session) { return set(*given, session); };
}

}  // namespace sluice::cli
