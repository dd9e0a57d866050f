// sluice show drops
#include <algorithm>

#include "cli/arguments.h"
#include "cli/commands.h"
#include "cli/show_text.h"

namespace sluice::cli {
namespace {

void sort_busiest_first(std::vector<api::ReasonStatus>& reasons) {
  std::ranges::stable_sort(reasons, std::ranges::greater(), [](const api::ReasonStatus& reason) {
    return std::pair(reason.traffic.packets_per_second, reason.traffic.packets);
  });
}

int show_drops(const Session& session) {
  auto status = session.agent.status();
  if (!status) return session.failed(status.error());
  sort_busiest_first(status->reasons);
  if (!session.json) {
    session.out << reasons_text(status->reasons, session.colours);
    return kDone;
  }
  nlohmann::json list = nlohmann::json::array();
  for (const api::ReasonStatus& reason : status->reasons) list.push_back(api::encode(reason));
  return session.document({{"reasons", std::move(list)}});
}

}  // namespace

void add_show_drops(CLI::App& show, Actions& actions) {
  CLI::App* command = show.add_subcommand("drops", "packets not forwarded, and why");
  command->footer(R"(drop: the packet is gone. pass: this machine's own stack got it.
tell: its sender was answered. The busiest reasons come first.

Examples:
  sluice show drops
  watch -n1 sluice show drops
  sluice show drops --json | jq '.reasons[] | select(.drops)')");
  actions[command] = [service = show.get_option("SERVICE")](const Session& session) {
    return service->count() == 0 ? show_drops(session) : session.wrong_usage(no_service_here("show drops"));
  };
}

}  // namespace sluice::cli
