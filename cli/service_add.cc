// sluice service add
#include <fmt/format.h>

#include "cli/arguments.h"
#include "cli/commands.h"

namespace sluice::cli {
namespace {

struct Arguments {
  std::string name;
  std::string protocol;
  std::string vip;
  std::string ring = std::to_string(model::kDefaultRingSlots);
  std::string hash = "5-tuple";
  std::string flows = "auto";
  std::string mode = "ipip";
};

Result<model::Service> parse(const Arguments& given) {
  model::Service service;
  service.name = given.name;
  service.protocol = SLUICE_TRY(model::parse_protocol(given.protocol));
  service.vip = SLUICE_TRY(Endpoint::parse(given.vip));
  service.ring_slots = SLUICE_TRY(parse_ring_slots(given.ring));
  service.hash = SLUICE_TRY(model::parse_flow_hash(given.hash));
  service.flows = SLUICE_TRY(model::parse_flow_tracking(given.flows));
  service.mode = SLUICE_TRY(model::parse_forwarding_mode(given.mode));
  SLUICE_TRY(model::validate(service));
  return service;
}

int add(const Arguments& given, const Session& session) {
  const auto service = parse(given);
  if (!service) return session.wrong_usage(service.error());
  return session.changed(session.agent.add_service(*service),
                         fmt::format("{0}: added service {1} {2}, without backends yet: "
                                     "sluice backend add {0} ADDRESS",
                                     service->name, to_string(service->protocol), service->vip.to_string()));
}

}  // namespace

void add_service_add(CLI::App& service, Actions& actions) {
  auto given = std::make_shared<Arguments>();
  CLI::App* command = service.add_subcommand("add", "add a service, without backends");
  command->add_option("NAME", given->name, "what to call it: a-z, 0-9, '.', '_' and '-'")->required();
  command->add_option("PROTOCOL", given->protocol, "tcp or udp")->required();
  command->add_option("VIP:PORT", given->vip, "where clients send to; port * for any")->required();
  command->add_option("--ring", given->ring, "size, a power of two; default 65536")->type_name("SLOTS");
  command->add_option("--hash", given->hash, "what chooses the backend; default 5-tuple")->type_name("HOW");
  command->add_option("--flows", given->flows, "auto, tracked or stateless; default auto")->type_name("HOW");
  command->add_option("--mode", given->mode, "how packets reach backends: ipip")->type_name("MODE");
  command->footer(R"(Hash:
  5-tuple         each connection for itself
  source-ip       a client's connections all meet the same backend
  source-ip,port  the same for each port of a client, over TCP and UDP alike

Flows:
  auto       TCP: only flows that a change put at risk; UDP: every flow
  tracked    every flow has an entry in the flow table
  stateless  none has: a flow follows the ring, for one-packet protocols (DNS)

Examples:
  sluice service add web tcp 192.0.2.1:80
  sluice service add web6 tcp '[2001:db8::1]:80' --ring 131072
  sluice service add shop tcp 192.0.2.8:443 --hash source-ip
  sluice service add dns udp 192.0.2.53:53 --flows stateless
  sluice service add game udp '192.0.2.7:*')");
  actions[command] = [given](const Session& session) { return add(*given, session); };
}

}  // namespace sluice::cli
