// sluice backend drain
#include <fmt/format.h>

#include "cli/arguments.h"
#include "cli/commands.h"
#include "cli/drain_wait.h"
#include "cli/text.h"

namespace sluice::cli {
namespace {

using std::chrono::seconds;

constexpr seconds kUsualQuiet(10);

struct Arguments {
  std::string service;
  std::string address;
  std::optional<std::string> deadline;
  std::optional<std::string> quiet;
  bool wait = false;
};

struct Order {
  BackendName name;
  std::optional<seconds> deadline;
  std::optional<seconds> quiet;  // set: wait
};

Result<Order> parse(const Arguments& given) {
  Order order{.name = SLUICE_TRY(parse_backend_name(given.service, given.address)),
              .deadline = {},
              .quiet = given.wait ? std::optional(kUsualQuiet) : std::nullopt};
  if (given.deadline) order.deadline = SLUICE_TRY(parse_duration(*given.deadline));
  if (order.deadline == seconds(0))
    return Error{ErrorCode::kInvalid,
                 fmt::format("a deadline of 0 is no drain: give --deadline more, or take the backend out at "
                             "once with 'sluice backend down {} {}'",
                             order.name.service, order.name.address.to_string())};
  if (given.quiet && !given.wait)
    return Error{ErrorCode::kInvalid, "--quiet is a part of waiting: give --wait too, or leave it out"};
  if (given.quiet) order.quiet = SLUICE_TRY(parse_duration(*given.quiet));
  return order;
}

std::string begun_text(const Order& order) {
  const std::string end = order.deadline ? fmt::format(", and is down in {}",
                                                       duration(static_cast<double>(order.deadline->count())))
                                         : "";
  return fmt::format("{}: backend {} drains: it gets no new flows{}", order.name.service,
                     order.name.address.to_string(), end);
}

std::string ended_text(const BackendName& name, const Drained& drained) {
  const std::string address = name.address.to_string();
  const std::string waited = duration(drained.waited_seconds);
  if (!drained.down)
    return fmt::format("{}: no flow of backend {} remains, after {}\n", name.service, address, waited);
  const std::string lost = drained.flows ? ": that ended " + flow_count(*drained.flows) : "";
  return fmt::format("{}: backend {} is down, after {}{}\n", name.service, address, waited, lost);
}

nlohmann::json ended_document(const api::Changed& changed, const Drained& drained) {
  nlohmann::json document = api::encode(changed);
  document["waited_seconds"] = drained.waited_seconds;
  document["flows_remaining"] = drained.flows ? nlohmann::json(*drained.flows) : nlohmann::json();
  return document;
}

int wait(const Order& order, const api::Changed& changed, const Session& session) {
  const auto say_it_began = [&] {
    (void)session.changed(changed, begun_text(order));
    session.out.flush();
  };
  if (session.progress) say_it_began();
  auto drained = wait_until_drained(session, order.name, *order.quiet);
  if (!session.progress && !session.json) say_it_began();
  if (!drained) return session.failed(drained.error());
  if (session.json) return session.document(ended_document(changed, *drained));
  session.out << ended_text(order.name, *drained);
  return kDone;
}

int drain(const Arguments& given, const Session& session) {
  const auto order = parse(given);
  if (!order) return session.wrong_usage(order.error());
  model::BackendChange change;
  change.state = model::BackendState::kDrain;
  if (order->deadline)
    change.drain_until = session.clock.unix_time() + static_cast<uint64_t>(order->deadline->count());
  const auto changed = session.agent.change_backend(order->name.service, order->name.address, change);
  if (!changed || !order->quiet) return session.changed(changed, begun_text(*order));
  return wait(*order, *changed, session);
}

}  // namespace

void add_backend_drain(CLI::App& backend, Actions& actions) {
  auto given = std::make_shared<Arguments>();
  CLI::App* command = backend.add_subcommand("drain", "send a backend no new flows");
  command->add_option("SERVICE", given->service, "the service")->required();
  command->add_option("ADDRESS", given->address, "the backend")->required();
  command->add_option("--deadline", given->deadline, "when the agent ends what is left")
      ->type_name("DURATION");
  command->add_flag("--wait", given->wait, "return when no flow remains");
  command->add_option("--quiet", given->quiet, "first let flows speak; default 10s")->type_name("DURATION");
  command->footer(R"(Open connections stay on the backend until they end; a stateless service's move
at once. A DURATION is a whole number of seconds, or one with a unit: 90, 90s,
10m, 2h.

--deadline: the agent takes the backend down then, which breaks the connections
that are left. It does so too when this command is gone. 'sluice backend drain'
without --deadline takes an earlier deadline back.

--wait: returns when no flow of the backend remains, or when it is down. A flow
remains until it is closed (FIN or RST), or silent for longer than the grace
period (defaults.grace, usually 15m; UDP: 60s). The agent knows a TCP connection
from its first packet after the drain began, so --wait first gives them --quiet
to speak. Connections that stay silent from the drain on are not counted, but
they are kept for the grace period. To wait for them, too: --quiet 15m.
Ctrl-C ends the waiting, not the drain.

Examples:
  sluice backend drain web 10.0.0.11
  sluice backend drain web 10.0.0.11 --deadline 10m
  sluice backend drain web 10.0.0.11 --wait --deadline 2h
  sluice backend drain web 10.0.0.11 --wait --quiet 15m)");
  actions[command] = [given](const Session& session) { return drain(*given, session); };
}

}  // namespace sluice::cli
