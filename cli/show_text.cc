#include "cli/show_text.h"

#include <fmt/format.h>

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
  const bool drain = backend.wanted.state == model::BackendState::kDrain;
  const bool unresolved = backend.path == api::PathState::kUnresolved;
  const Colour colour = unresolved ? Colour::kRed : drain ? Colour::kYellow : Colour::kGreen;
  return painted(fmt::format("{:<10}", drain ? "drain" : unresolved ? "unresolved" : "up"), colour, colours);
}

enum class Detail { kOverview, kFull };

std::string backend_lines(const api::BackendStatus& backend, uint32_t ring_slots, Detail detail,
                          bool colours) {
  const std::string address = backend.wanted.address.to_string();
  const bool alone = address.size() > kAddressWidth;
  std::string lines = alone ? fmt::format("  {}\n", address) : "";
  lines +=
      fmt::format("  {:<{}}  {:>6}  {}  {:>6}", alone ? "" : address, kAddressWidth, backend.wanted.weight,
                  state_cell(backend, colours), percentage(backend.slots, ring_slots));
  lines += rates(backend.traffic);
  // The state column of a draining backend has no room for the second trouble.
  const bool unresolved = backend.path == api::PathState::kUnresolved;
  const bool drain = backend.wanted.state == model::BackendState::kDrain;
  if (unresolved || (detail == Detail::kFull && !backend.path_detail.empty()))
    lines += note((unresolved && drain ? "unresolved: " : "") + backend.path_detail, kNoteIndent);
  return lines;
}

std::string backends_text(const api::ServiceStatus& service, Detail detail, bool colours) {
  if (service.backends.empty())
    return note(fmt::format("no backends yet: sluice backend add {} ADDRESS", service.wanted.name), 2);
  std::string lines;
  for (const api::BackendStatus& backend : service.backends)
    lines += backend_lines(backend, service.wanted.ring_slots, detail, colours);
  return lines;
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

std::string status_text(const api::Status& status, bool colours) {
  std::string text =
      note(fmt::format("sluiced {}, up {}", status.version, duration(status.uptime_seconds)), 0);
  for (const api::InterfaceStatus& interface : status.interfaces) text += interface_line(interface);
  if (status.interfaces.empty())
    text +=
        note("no interface: packets pass by until the configuration file names one under 'interfaces'", 0);
  if (status.services.empty())
    return text +
           "\nno services yet; add one, and then its backends:\n"
           "  sluice service add web tcp 192.0.2.1:80\n"
           "  sluice backend add web 10.0.0.11\n" +
           drops_line(status.reasons, colours);

  text += "\n" + column_titles();
  for (const api::ServiceStatus& service : status.services)
    text += service_line(service.wanted, service.traffic) + tracked_line(service) +
            backends_text(service, Detail::kOverview, colours);
  return text + drops_line(status.reasons, colours);
}

std::string service_text(const api::ServiceStatus& service, bool colours) {
  const model::Service& wanted = service.wanted;
  std::string text = column_titles() + service_line(wanted, service.traffic);
  text += note(fmt::format("mode {}, flows {}, ring of {} slots", to_string(wanted.mode),
                           to_string(wanted.flows), wanted.ring_slots),
               2);
  text += tracked_line(service);
  text += note(fmt::format("{} packets, {} since it was added", service.traffic.packets,
                           byte_count(service.traffic.bytes)),
               2);
  return text + backends_text(service, Detail::kFull, colours);
}

std::string reasons_text(const std::vector<api::ReasonStatus>& reasons, bool colours) {
  constexpr size_t kTextColumn = 38;
  std::string text =
      fmt::format("{:<4}  {:<12}  {:>9}  {:>5}  {}\n", "", "REASON", "RATE", "COUNT", "MEANING");
  for (const api::ReasonStatus& reason : reasons) {
    const bool hot = reason.drops && reason.traffic.packets_per_second > 0;
    text += painted(reason.drops ? "drop" : "pass", hot ? Colour::kRed : Colour::kNone, colours);
    text += fmt::format("  {:<12}  {:>9}  {:>5}  ", printable(reason.name),
                        packet_rate(reason.traffic.packets_per_second), short_count(reason.traffic.packets));
    text += wrapped(printable(reason.text), kTextColumn) + '\n';
  }
  return text;
}

}  // namespace sluice::cli
