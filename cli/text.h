// Text for people: numbers with units, lines that end before the terminal does, colours.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace sluice::cli {

constexpr size_t kColumns = 80;  // no line is longer, unless one word is

// Three digits or so, and a decimal prefix: "0 pps", "1.2k pps", "3.4 Mbit/s", "1.2 GB", "3h 12m".
std::string packet_rate(double packets_per_second);
std::string bit_rate(double bytes_per_second);
std::string byte_count(uint64_t bytes);
std::string short_count(uint64_t count);  // exact up to 99999
std::string duration(double seconds);

std::string flow_count(uint64_t flows);    // "1 flow", "12 flows"
std::string flows_remain(uint64_t flows);  // "no flow remains", "1 flow remains", "12 flows remain"

// `part` of `whole` as "33.3%"; "-" of nothing.
std::string percentage(uint32_t part, uint32_t whole);

// `text` cut into lines at its spaces. The first starts at column `indent` already, the others are indented
// by it.
std::string wrapped(std::string_view text, size_t indent);

// Foreign text with control characters replaced, so that it cannot command the terminal. Line ends stay.
std::string printable(std::string_view text);

enum class Colour { kNone, kGreen, kYellow, kRed };
std::string painted(std::string_view text, Colour colour, bool colours);

}  // namespace sluice::cli
