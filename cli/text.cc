#include "cli/text.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>

namespace sluice::cli {
namespace {

struct Scaled {
  std::string number;
  std::string_view prefix;
};

// One decimal below 100, none above and none for a small whole number. The steps are where rounding would
// give a fourth digit.
Scaled scaled(double value) {
  constexpr std::array<std::string_view, 7> kPrefixes{"", "k", "M", "G", "T", "P", "E"};
  size_t step = 0;
  while (value >= 999.5 && step + 1 < kPrefixes.size()) {
    value /= 1000;
    ++step;
  }
  const bool whole = value >= 99.95 || (step == 0 && (value >= 9.95 || value == std::floor(value)));
  return {fmt::format("{:.{}f}", value, whole ? 0 : 1), kPrefixes[step]};
}

}  // namespace

std::string packet_rate(double packets_per_second) {
  const Scaled rate = scaled(packets_per_second);
  return fmt::format("{}{} pps", rate.number, rate.prefix);
}

std::string bit_rate(double bytes_per_second) {
  const Scaled rate = scaled(bytes_per_second * 8);
  return fmt::format("{} {}bit/s", rate.number, rate.prefix);
}

std::string byte_count(uint64_t bytes) {
  const Scaled count = scaled(static_cast<double>(bytes));
  return fmt::format("{} {}B", count.number, count.prefix);
}

std::string short_count(uint64_t count) {
  if (count < 100000) return std::to_string(count);
  const Scaled rounded = scaled(static_cast<double>(count));
  return fmt::format("{}{}", rounded.number, rounded.prefix);
}

std::string duration(double seconds) {
  const auto whole = static_cast<uint64_t>(std::min(seconds, 1e15));
  if (whole < 60) return fmt::format("{}s", whole);
  if (whole < 3600) return fmt::format("{}m {}s", whole / 60, whole % 60);
  if (whole < 86400) return fmt::format("{}h {}m", whole / 3600, whole / 60 % 60);
  return fmt::format("{}d {}h", whole / 86400, whole / 3600 % 24);
}

std::string flow_count(uint64_t flows) {
  return fmt::format("{} flow{}", flows, flows == 1 ? "" : "s");
}

std::string flows_remain(uint64_t flows) {
  if (flows == 0) return "no flow remains";
  return fmt::format("{} remain{}", flow_count(flows), flows == 1 ? "s" : "");
}

std::string percentage(uint32_t part, uint32_t whole) {
  if (whole == 0) return "-";
  return fmt::format("{:.1f}%", 100.0 * part / whole);
}

std::string wrapped(std::string_view text, size_t indent) {
  std::string lines;
  size_t column = indent;
  while (!text.empty()) {
    const size_t cut = text.find(' ');
    const std::string_view word = text.substr(0, cut);
    if (column > indent && column + 1 + word.size() > kColumns) {
      lines.append("\n").append(indent, ' ');
      column = indent;
    }
    if (column > indent) {
      lines += ' ';
      ++column;
    }
    lines += word;
    column += word.size();
    text = cut == std::string_view::npos ? std::string_view() : text.substr(cut + 1);
  }
  return lines;
}

std::string printable(std::string_view text) {
  std::string shown(text);
  for (char& c : shown) {
    const auto byte = static_cast<unsigned char>(c);
    if ((byte < ' ' && c != '\n') || byte == 0x7f) c = '?';
  }
  return shown;
}

std::string painted(std::string_view text, Colour colour, bool colours) {
  if (!colours || colour == Colour::kNone) return std::string(text);
  const int code = colour == Colour::kGreen ? 32 : colour == Colour::kYellow ? 33 : 31;
  return fmt::format("\x1b[{}m{}\x1b[0m", code, text);
}

}  // namespace sluice::cli
