#include "cli/show_text.h"

#include <fmt/format.h>

#include <algorithm>

#include "cli/text.h"

namespace sluice::cli {
namespace {

// The columns of a backend's line, which fill kColumns:
//   2 spaces, address 26, weight 6, state 10, share of the ring 6, packets 9, bits 11, 2 spaces between.
// A longer address has a line of its own, so that the columns are the same in every output.
constexpr size_t kAddressWidth = 26;
constexpr size_t kTitleWidth = 56;  // what is left of the two rates
constexpr size_t kNoteIndent = 6;

std::string column_titles() {
  return fmt::format("{:<28}  {:>6}  {:<10}  {:>6}  {:>9}  {:>11}\n", "SERVICE AND BACKENDS", "WEIGHT",
                     "STATE", "RING", "PACKETS", "BITS");
}

std::string rates(const api::Traffic& traffic) {
  return fmt::format("  {:>9}  {:>11}\n", packet_rate(traffic.packets_per_second),
                     bit_rate(traffic.bytes_per_second));
}

std::string note(std::string_view text, size_t indent) {
  return std::string(indent, ' ') + wrapped(printable(text), indent) + '\n';
}

std::string interface_line(const api::InterfaceStatus& interface) {
  const std::string remark = interface.remark.empty() ? "" : ": " + interface.remark;
  return note(fmt::format("{}  {} XDP{}{}", interface.name, interface.native ? "native" : "generic",
                          interface.shared ? ", shared with other programs" : "", remark),
              0);
}

std::string service_line(const model::Service& service, const api::Traffic& traffic) {
  const std::string where = fmt::format("{} {}", to_string(service.protocol), service.vip.to_string());
  const std::string title = fmt::format("{}  {}", service.name, where);
  if (title.size() <= kTitleWidth) return fmt::format("{:<{}}", title, kTitleWidth) + rates(traffic);
  return fmt::format("{}\n{:<{}}", service.name, "  " + where, kTitleWidth) + rates(traffic);
}

std::string tracked_line(const api::ServiceStatus& service) {
  if (service.tracked_slots == 0) return {};
  return note(fmt::format("{} of {} slots keep older flows where they are", service.tracked_slots,
                          service.wanted.ring_slots),
              2);
}

std::string state_cell(const api::BackendStatus& backend, bool colours) {
  const model::BackendState wanted = backend.wanted.state;
  const bool unresolved = backend.path == api::PathState::kUnresolved;
  const bool up = wanted == model::BackendState::kUp;
  const Colour colour = unresolved && wanted != model::BackendState::kDown ? Colour::kRed
                        : up                                               ? Colour::kGreen
                                                                           : Colour::kYellow;
  return painted(fmt::format("{:<10}", up && unresolved ? "unresolved" : to_string(wanted)), colour, colours);
}

std::string drain_text(const api::BackendStatus& backend, uint64_t now) {
  // Who has not spoken since the drain began is in no table.
  const bool silent = backend.origin_slots > 0;
  std::string text = backend.flows == 0 && silent ? "no flow seen" : flows_remain(backend.flows);
  if (const auto until = backend.wanted.drain_until)
    text += *until > now ? ", ends in " + duration(static_cast<double>(*until - now)) : ", ends now";
  if (silent) text += fmt::format("; silent ones, if any, are kept in {} slots", backend.origin_slots);
  return text;
}

enum class Detail { kOverview, kFull };

std::string backend_notes(const api::BackendStatus& backend, Detail detail, uint64_t now) {
  const model::BackendState wanted = backend.wanted.state;
  std::string notes;
  if (wanted == model::BackendState::kDrain)
    notes += note(drain_text(backend, now), kNoteIndent);
  else if (detail == Detail::kFull && backend.flows > 0)
    notes += note(flow_count(backend.flows) + " in the flow table", kNoteIndent);
  // The state column of a backend that is not up has no room for the second trouble.
  const bool unresolved = backend.path == api::PathState::kUnresolved;
  const std::string_view trouble = unresolved && wanted != model::BackendState::kUp ? "unresolved: " : "";
  if (unresolved || (detail == Detail::kFull && !backend.path_detail.empty()))
    notes += note(fmt::format("{}{}", trouble, backend.path_detail), kNoteIndent);
  return notes;
}

std::string backend_lines(const api::BackendStatus& backend, uint32_t ring_slots, Detail detail,
                          const Look& look) {
  const std::string address = backend.wanted.address.to_string();
  const bool alone = address.size() > kAddressWidth;
  std::string lines = alone ? fmt::format("  {}\n", address) : "";
  lines +=
      fmt::format("  {:<{}}  {:>6}  {}  {:>6}", alone ? "" : address, kAddressWidth, backend.wanted.weight,
                  state_cell(backend, look.colours), percentage(backend.slots, ring_slots));
  return lines + rates(backend.traffic) + backend_notes(backend, detail, look.now);
}

std::string backends_text(const api::ServiceStatus& service, Detail detail, const Look& look) {
  if (service.backends.empty())
    return note(fmt::format("no backends yet: sluice backend add {} ADDRESS", service.wanted.name), 2);
  std::string lines;
  for (const api::BackendStatus& backend : service.backends)
    lines += backend_lines(backend, service.wanted.ring_slots, detail, look);
  return lines;
}

// How many packets a second find no place in the flow table.
double full_rate(const api::FlowTableStatus& table) {
  const auto full = std::ranges::find(table.counters, "full", &api::ReasonStatus::name);
  return full == table.counters.end() ? 0 : full->traffic.packets_per_second;
}

std::string fill_text(const api::FlowTableStatus& table) {
  return fmt::format("{} of {} entries", table.entries, table.capacity);
}

std::string flow_table_line(const api::FlowTableStatus& table) {
  if (table.entries == 0 && full_rate(table) <= 0) return {};
  return note("flow table: " + fill_text(table), 0);
}

std::string full_warning(const api::FlowTableStatus& table, bool colours) {
  const double rate = full_rate(table);
  if (rate <= 0) return {};
  const std::string head = fmt::format("flow table full: {} find no place", packet_rate(rate));
  const std::string text =
      note(head +
               "; new UDP flows, and new TCP flows in slots that a change moved, may lose their backend at "
               "the next change: raise limits.flows",
           0);
  return "\n" + painted(head, Colour::kRed, colours) + text.substr(head.size());
}

std::string drops_line(const std::vector<api::ReasonStatus>& reasons, bool colours) {
  double rate = 0;
  for (const api::ReasonStatus& reason : reasons)
    if (reason.drops) rate += reason.traffic.packets_per_second;
  if (rate <= 0) return {};
  return "\n" + painted(fmt::format("dropping {}", packet_rate(rate)), Colour::kRed, colours) +
         ": see 'sluice show drops'\n";
}

}  // namespace

std::string status_text(const api::Status& status, const Look& look) {
  std::string text =
      note(fmt::format("sluiced {}, up {}", status.version, duration(status.uptime_seconds)), 0);
  for (const api::InterfaceStatus& interface : status.interfaces) text += interface_line(interface);
  if (status.interfaces.empty())
    text +=
        note("no interface: packets pass by until the configuration file names one under 'interfaces'", 0);
  text += flow_table_line(status.flow_table);
  const std::string troubles =
      drops_line(status.reasons, look.colours) + full_warning(status.flow_table, look.colours);
  if (status.services.empty())
    return text +
           "\nno services yet; add one, and then its backends:\n"
           "  sluice service add web tcp 192.0.2.1:80\n"
           "  sluice backend add web 10.0.0.11\n" +
           troubles;

  text += "\n" + column_titles();
  for (const api::ServiceStatus& service : status.services)
    text += service_line(service.wanted, service.traffic) + tracked_line(service) +
            backends_text(service, Detail::kOverview, look);
  return text + troubles;
}

std::string service_text(const api::ServiceStatus& service, const Look& look) {
  const model::Service& wanted = service.wanted;
  std::string text = column_titles() + service_line(wanted, service.traffic);
  text += note(fmt::format("mode {}, hash {}, flows {}, ring of {} slots", to_string(wanted.mode),
                           to_string(wanted.hash), to_string(wanted.flows), wanted.ring_slots),
               2);
  text += tracked_line(service);
  text += note(fmt::format("{} packets, {} since it was added", service.traffic.packets,
                           byte_count(service.traffic.bytes)),
               2);
  return text + backends_text(service, Detail::kFull, look);
}

std::string reasons_text(const std::vector<api::ReasonStatus>& reasons, bool colours) {
  constexpr size_t kTextColumn = 38;
  std::string text =
      fmt::format("{:<4}  {:<12}  {:>9}  {:>5}  {}\n", "", "REASON", "RATE", "COUNT", "MEANING");
  for (const api::ReasonStatus& reason : reasons) {
    const bool hot = reason.drops && reason.traffic.packets_per_second > 0;
    text += painted(reason.drops     ? "drop"
                    : reason.answers ? "tell"
                                     : "pass",
                    hot ? Colour::kRed : Colour::kNone, colours);
    text += fmt::format("  {:<12}  {:>9}  {:>5}  ", printable(reason.name),
                        packet_rate(reason.traffic.packets_per_second), short_count(reason.traffic.packets));
    text += wrapped(printable(reason.text), kTextColumn) + '\n';
  }
  return text;
}

std::string flow_table_text(const api::FlowTableStatus& table, bool colours) {
  constexpr size_t kTextColumn = 28;
  const std::string age = table.age_seconds > 0 ? fmt::format("read {} ago", duration(table.age_seconds))
                                                : "not read: nothing is tracked, or the agent has just begun";
  std::string text = note(fmt::format("{}, {}", fill_text(table), age), 0) + '\n';
  text += fmt::format("{:<8}  {:>9}  {:>5}  {}\n", "EVENT", "RATE", "COUNT", "MEANING");
  for (const api::ReasonStatus& counter : table.counters) {
    const bool hot = counter.name == "full" && counter.traffic.packets_per_second > 0;
    text +=
        painted(fmt::format("{:<8}", printable(counter.name)), hot ? Colour::kRed : Colour::kNone, colours);
    text += fmt::format("  {:>9}  {:>5}  ", packet_rate(counter.traffic.packets_per_second),
                        short_count(counter.traffic.packets));
    text += wrapped(printable(counter.text), kTextColumn) + '\n';
  }
  return text + full_warning(table, colours);
}

}  // namespace sluice::cli
