// sluice backend set
#include <fmt/format.h>

#include <vector>

#include "cli/arguments.h"
#include "cli/commands.h"

namespace sluice::cli {
namespace {

struct Arguments {
  std::string service;
  std::string address;
  std::optional<std::string> weight;
  std::optional<std::string> next_hop;
};

struct Setting {
  BackendName name;
  model::BackendChange change;
};

Result<Setting> parse(const Arguments& given) {
  if (!given.weight && !given.next_hop)
    return Error{ErrorCode::kInvalid, "nothing to set: give --weight, --next-hop or both"};
  Setting setting{.name = SLUICE_TRY(parse_backend_name(given.service, given.address)), .change = {}};
  model::Backend changed;
  changed.address = setting.name.address;
  if (given.weight) setting.change.weight = changed.weight = SLUICE_TRY(parse_weight(*given.weight));
  if (given.next_hop)
    setting.change.next_hop = changed.next_hop = SLUICE_TRY(parse_next_hop(*given.next_hop));
  model::Service of;
  of.name = setting.name.service;
  SLUICE_TRY(model::validate(changed, of));
  return setting;
}

std::string in_words(const Setting& setting) {
  std::vector<std::string> parts;
  if (const auto& weight = setting.change.weight) parts.push_back(fmt::format("weight {}", *weight));
  if (const auto& next_hop = setting.change.next_hop)
    parts.push_back("next hop " + (*next_hop ? (*next_hop)->to_string() : "auto"));
  return fmt::format("{}: set backend {} to {}", setting.name.service, setting.name.address.to_string(),
                     fmt::join(parts, ", "));
}

int set(const Arguments& given, const Session& session) {
  const auto setting = parse(given);
  if (!setting) return session.wrong_usage(setting.error());
  const BackendName& name = setting->name;
  return session.changed(session.agent.change_backend(name.service, name.address, setting->change),
                         in_words(*setting));
}

}  // namespace

void add_backend_set(CLI::App& backend, Actions& actions) {
  auto given = std::make_shared<Arguments>();
  CLI::App* command = backend.add_subcommand("set", "change a backend's weight or next hop");
  command->add_option("SERVICE", given->service, "the service")->required();
  command->add_option("ADDRESS", given->address, "the backend")->required();
  command->add_option("--weight", given->weight, "its share, 0 to 65535")->type_name("N");
  command->add_option("--next-hop", given->next_hop, "a MAC address, or auto")->type_name("MAC");
  command->footer(R"(What is not given stays as it is. Open connections stay where they are.

Examples:
  sluice backend set web 10.0.0.11 --weight 4
  sluice backend set web 10.0.0.11 --next-hop 02:00:5e:00:53:01
  sluice backend set web 10.0.0.11 --next-hop auto)");
  actions[command] = [given](const Session& session) { return set(*given, session); };
}

}  // namespace sluice::cli
