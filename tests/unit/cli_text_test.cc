// Numbers as people read them, and lines that end in time: at the borders where rounding changes the width.
#include "cli/text.h"

#include <gtest/gtest.h>

#include "cli/show_text.h"

namespace sluice::cli {
namespace {

TEST(CliText, RatesHaveThreeDigitsAndAPrefix) {
  EXPECT_EQ(packet_rate(0), "0 pps");
  EXPECT_EQ(packet_rate(0.5), "0.5 pps");
  EXPECT_EQ(packet_rate(3), "3 pps");
  EXPECT_EQ(packet_rate(9.96), "10 pps");
  EXPECT_EQ(packet_rate(999.4), "999 pps");
  EXPECT_EQ(packet_rate(999.5), "1.0k pps");
  EXPECT_EQ(packet_rate(1234), "1.2k pps");
  EXPECT_EQ(packet_rate(99949), "99.9k pps");
  EXPECT_EQ(packet_rate(99951), "100k pps");
  EXPECT_EQ(packet_rate(999499), "999k pps");
  EXPECT_EQ(packet_rate(999500), "1.0M pps");
  EXPECT_EQ(packet_rate(14.88e6), "14.9M pps");
  EXPECT_EQ(bit_rate(425e3), "3.4 Mbit/s");
  EXPECT_EQ(bit_rate(0.125), "1 bit/s");
  EXPECT_EQ(byte_count(1234567890), "1.2 GB");
  EXPECT_EQ(byte_count(~0ULL), "18.4 EB");
}

TEST(CliText, NoRateIsWiderThanItsColumn) {
  for (double rate = 0.01; rate < 1e18; rate *= 1.0001) {
    ASSERT_LE(packet_rate(rate).size(), 9U) << rate;
    ASSERT_LE(bit_rate(rate).size(), 11U) << rate;
  }
}

TEST(CliText, CountsAreExactWhileTheyFit) {
  EXPECT_EQ(short_count(99999), "99999");
  EXPECT_EQ(short_count(100000), "100k");
  EXPECT_EQ(short_count(~0ULL), "18.4E");
}

TEST(CliText, DurationsHaveTwoUnits) {
  EXPECT_EQ(duration(0), "0s");
  EXPECT_EQ(duration(59.9), "59s");
  EXPECT_EQ(duration(60), "1m 0s");
  EXPECT_EQ(duration(11530), "3h 12m");
  EXPECT_EQ(duration(86400 * 2 + 3600 * 4), "2d 4h");
  EXPECT_FALSE(duration(1e300).empty());
}

TEST(CliText, FlowsAgreeWithTheirNumber) {
  EXPECT_EQ(flows_remain(0), "no flow remains");
  EXPECT_EQ(flows_remain(1), "1 flow remains");
  EXPECT_EQ(flows_remain(2), "2 flows remain");
  EXPECT_EQ(flow_count(1), "1 flow");
}

TEST(CliText, DrainingBackendSaysWhatRemainsAndWhenItEnds) {
  api::ServiceStatus service;
  service.backends.emplace_back();
  api::BackendStatus& backend = service.backends.front();
  backend.path = api::PathState::kResolved;
  backend.wanted.state = model::BackendState::kDrain;
  const auto note = [&](uint64_t flows, uint32_t origin_slots, std::optional<uint64_t> until) {
    backend.flows = flows;
    backend.origin_slots = origin_slots;
    backend.wanted.drain_until = until;
    const std::string text = service_text(service, {.colours = false, .now = 1000});
    const size_t line = text.rfind("bit/s\n") + 6;
    return text.substr(line);
  };
  EXPECT_EQ(note(0, 0, {}), "      no flow remains\n");
  EXPECT_EQ(note(1, 0, {}), "      1 flow remains\n");
  EXPECT_EQ(note(12, 0, 1250), "      12 flows remain, ends in 4m 10s\n");
  EXPECT_EQ(note(12, 0, 1000), "      12 flows remain, ends now\n");
  EXPECT_EQ(note(12, 0, 0), "      12 flows remain, ends now\n");
  EXPECT_EQ(note(12, 5, {}), "      12 flows remain; silent ones, if any, are kept in 5 slots\n");
  EXPECT_EQ(note(0, 5, 1250),
            "      no flow seen, ends in 4m 10s; silent ones, if any, are kept in 5 slots\n");
}

TEST(CliText, ShareOfNothingIsNoNumber) {
  EXPECT_EQ(percentage(1, 3), "33.3%");
  EXPECT_EQ(percentage(65536, 65536), "100.0%");
  EXPECT_EQ(percentage(0, 0), "-");
}

TEST(CliText, LinesEndAtTheTerminalsEdgeUnlessAWordIsLonger) {
  EXPECT_EQ(wrapped("", 4), "");
  EXPECT_EQ(wrapped("one two", 4), "one two");
  const std::string long_word(100, 'x');
  EXPECT_EQ(wrapped("one " + long_word + " two", 2), "one\n  " + long_word + "\n  two");
  const std::string fits(74, 'y');
  EXPECT_EQ(wrapped(fits + " z", 4), fits + " z");
  EXPECT_EQ(wrapped(fits + " zz", 4), fits + "\n    zz");
}

TEST(CliText, ControlCharactersAreReplaced) {
  EXPECT_EQ(printable("a\x1b[2J\r\x7f\nb\xc3\xa9"), "a?[2J??\nb\xc3\xa9");
}

}  // namespace
}  // namespace sluice::cli
