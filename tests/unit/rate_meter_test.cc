// Rates from counters, with the clock in the test's hand.
#include "agent/rate_meter.h"

#include <gtest/gtest.h>

namespace sluice::agent {
namespace {

using namespace std::chrono_literals;

constexpr RateMeter::Time kStart{1000s};

TEST(RateMeter, HasNoRateBeforeTheSecondSample) {
  RateMeter meter;
  EXPECT_EQ(meter.traffic(1, {10, 1000}), (api::Traffic{10, 1000, 0, 0}));
  meter.sample({1}, {{1'000'000, 1'000'000}}, kStart);
  EXPECT_EQ(meter.traffic(1, {1'000'001, 1'000'064}), (api::Traffic{1'000'001, 1'000'064, 0, 0}));
}

TEST(RateMeter, DividesByTheTimeThatReallyPassed) {
  RateMeter meter;
  meter.sample({1, 2}, {{100, 1000}, {5, 50}}, kStart);
  meter.sample({1, 2}, {{300, 5000}, {5, 50}}, kStart + 2s);
  EXPECT_EQ(meter.traffic(1, {301, 5064}), (api::Traffic{301, 5064, 100, 2000}));
  EXPECT_EQ(meter.traffic(2, {5, 50}), (api::Traffic{5, 50, 0, 0}));
  meter.sample({1, 2}, {{301, 5064}, {6, 114}}, kStart + 2500ms);
  EXPECT_EQ(meter.traffic(1, {301, 5064}), (api::Traffic{301, 5064, 2, 128}));
  EXPECT_EQ(meter.traffic(2, {6, 114}), (api::Traffic{6, 114, 2, 128}));
}

TEST(RateMeter, ForgetsIdsThatAreMissingFromASample) {
  RateMeter meter;
  meter.sample({1, 2}, {{0, 0}, {0, 0}}, kStart);
  meter.sample({1, 2}, {{10, 100}, {20, 200}}, kStart + 1s);
  meter.sample({2}, {{20, 200}}, kStart + 2s);
  EXPECT_EQ(meter.traffic(1, {10, 100}), (api::Traffic{10, 100, 0, 0}));
  meter.sample({1, 2}, {{50, 500}, {20, 200}}, kStart + 3s);
  EXPECT_EQ(meter.traffic(1, {50, 500}), (api::Traffic{50, 500, 0, 0}))
      << "what it counted before is unknown";
}

// The id was given to another backend and its counter cleared.
TEST(RateMeter, TakesACounterThatShrankForANewOne) {
  RateMeter meter;
  meter.sample({1}, {{1000, 64000}}, kStart);
  meter.sample({1}, {{7, 700}}, kStart + 1s);
  EXPECT_EQ(meter.traffic(1, {7, 700}), (api::Traffic{7, 700, 0, 0}));
  meter.sample({1}, {{9, 900}}, kStart + 2s);
  EXPECT_EQ(meter.traffic(1, {9, 900}), (api::Traffic{9, 900, 2, 200}));
}

TEST(RateMeter, TakesACounterWhoseBytesAloneShrankForANewOne) {
  RateMeter meter;
  meter.sample({1}, {{3, 4500}}, kStart);
  meter.sample({1}, {{5, 320}}, kStart + 1s);
  EXPECT_EQ(meter.traffic(1, {5, 320}), (api::Traffic{5, 320, 0, 0}));
}

TEST(RateMeter, SurvivesTwoSamplesAtTheSameInstant) {
  RateMeter meter;
  meter.sample({1}, {{1, 64}}, kStart);
  meter.sample({1}, {{2, 128}}, kStart);
  EXPECT_EQ(meter.traffic(1, {2, 128}), (api::Traffic{2, 128, 0, 0}));
}

}  // namespace
}  // namespace sluice::agent
