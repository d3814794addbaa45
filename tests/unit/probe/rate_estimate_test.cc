// What series of arrivals say of a link: synthetic ones, as links and TCP make them.

#include "libcommon/probe/rate_estimate.h"

#include <algorithm>
#include <cmath>
#include <random>

#include <gtest/gtest.h>

namespace ptrain::probe {
namespace {

using namespace std::chrono_literals;

constexpr double kMbit = 1e6 / 8;  // bytes a second

// Bytes that come in messages of 4 KiB as the rate at each moment lets them.
template <class RateAt>
std::vector<Arrival> series(Duration length, RateAt rate_at) {
  ArrivalSeries arrivals;
  double owed = 0;
  std::uint64_t bytes = 0;
  for (Duration t = 0ms; t <= length; t += 1ms) {
    owed += rate_at(seconds(t)) * 1e-3;
    bool came = t == 0ms;
    for (; owed >= 4096; owed -= 4096) bytes += 4096, came = true;
    if (came) arrivals.add({t, bytes});
  }
  return arrivals.entries();
}

// Doubles each round trip from ten packets, until the link is full.
auto slow_start(double rate, double round_trip_s) {
  return [=](double t) {
    const double window = 14600 * std::pow(2, t / round_trip_s);
    return std::min(rate, window / round_trip_s);
  };
}

TEST(RateEstimate, ALinkWithoutSlowStartIsKnownExactly) {
  const auto rate = rate_of(series(2s, [](double) { return 20 * kMbit; }), 50ms);
  ASSERT_TRUE(rate);
  EXPECT_NEAR(rate->bytes_per_s, 20 * kMbit, 0.01 * 20 * kMbit);
  EXPECT_LE(rate->low, rate->bytes_per_s);
  EXPECT_GE(rate->high, rate->bytes_per_s);
  EXPECT_TRUE(rate->steady);
}

TEST(RateEstimate, SlowStartIsLeftOut) {
  for (const double mbit : {1.0, 20.0, 100.0, 200.0}) {
    for (const int round_trip_ms : {2, 20, 50, 100, 200}) {
      const double round_trip_s = round_trip_ms * 1e-3;
      const auto arrivals = series(10s, slow_start(mbit * kMbit, round_trip_s));
      const auto rate = rate_of(arrivals, Duration(std::chrono::milliseconds(round_trip_ms)));
      ASSERT_TRUE(rate);
      EXPECT_NEAR(rate->bytes_per_s / (mbit * kMbit), 1, 0.02) << mbit << " " << round_trip_ms;
      EXPECT_TRUE(rate->steady) << mbit << " " << round_trip_ms;
    }
  }
}

TEST(RateEstimate, IsNotSteadyWhileTheRateGrows) {
  const auto start = slow_start(100 * kMbit, 0.1);
  // After 0.6 s the link is not full yet.
  for (const Duration length : {Duration(400ms), Duration(500ms), Duration(600ms)}) {
    const auto rate = rate_of(series(length, start), 100ms);
    EXPECT_FALSE(rate && rate->steady) << seconds(length);
  }
  // Nor where it grows slowly for long: TCP above slow start's end.
  const auto creeping = rate_of(series(3s, [](double t) { return (10 + 2 * t) * kMbit; }), 50ms);
  ASSERT_TRUE(creeping);
  EXPECT_FALSE(creeping->steady);
}

TEST(RateEstimate, IsSteadyWithinThreeSecondsBeyondSlowStart) {
  for (const int round_trip_ms : {2, 50, 200}) {
    const auto start = slow_start(50 * kMbit, round_trip_ms * 1e-3);
    const Duration full = std::chrono::milliseconds(10 * round_trip_ms);
    const auto rate = rate_of(series(full + 3s, start), std::chrono::milliseconds(round_trip_ms));
    EXPECT_TRUE(rate && rate->steady) << round_trip_ms;
  }
}

TEST(RateEstimate, WhatAShaperLetsThroughAtOnceDoesNotCount) {
  const auto burst = [](double t) { return (t < 0.1 ? 200 : 10) * kMbit; };
  const auto rate = rate_of(series(4s, burst), 20ms);
  ASSERT_TRUE(rate);
  EXPECT_NEAR(rate->bytes_per_s, 10 * kMbit, 0.03 * 10 * kMbit);
}

TEST(RateEstimate, ANoisyLinkHasAWideInterval) {
  std::mt19937 random(7);
  std::uniform_real_distribution<double> any(0, 2);
  double level = 1;
  const auto noisy = rate_of(series(1s,
                                    [&](double t) {
                                      if (std::fmod(t, 0.05) < 0.001) level = any(random);
                                      return level * 20 * kMbit;
                                    }),
                             20ms);
  ASSERT_TRUE(noisy);
  EXPECT_FALSE(noisy->steady);
  EXPECT_GT(noisy->high - noisy->low, 0.05 * noisy->bytes_per_s);
}

TEST(RateEstimate, TheIntervalHoldsTheTrueRate) {
  std::mt19937 random(11);
  std::normal_distribution<double> noise(1, 0.2);
  int holds = 0;
  for (int run = 0; run < 100; ++run) {
    double level = 1;
    const auto rate = rate_of(series(3s,
                                     [&](double t) {
                                       if (std::fmod(t, 0.02) < 0.001) level = noise(random);
                                       return std::max(0.1, level) * 20 * kMbit;
                                     }),
                              20ms);
    ASSERT_TRUE(rate);
    if (rate->low <= 20 * kMbit && 20 * kMbit <= rate->high) ++holds;
  }
  EXPECT_GE(holds, 85);  // of 95 that are to be expected
}

TEST(RateEstimate, OfTooLittleNothingIsSaid) {
  EXPECT_FALSE(rate_of({}, 10ms));
  EXPECT_FALSE(rate_of({{0ms, 4096}}, 10ms));
  EXPECT_FALSE(rate_of({{0ms, 4096}, {5ms, 8192}}, 10ms));
  EXPECT_FALSE(coarse_rate_of({}, 10ms));
  EXPECT_FALSE(coarse_rate_of({{0ms, 4096}}, 10ms));
}

TEST(CoarseRate, IsNearTheRateAfterFewBytes) {
  for (const double mbit : {2.0, 20.0, 100.0}) {
    for (const int round_trip_ms : {2, 20, 50, 100}) {
      const Duration round_trip = std::chrono::milliseconds(round_trip_ms);
      const auto whole = series(10s, slow_start(mbit * kMbit, round_trip_ms * 1e-3));
      std::vector<Arrival> seen;
      std::optional<double> coarse;
      for (const Arrival& arrival : whole) {
        seen.push_back(arrival);
        if ((coarse = coarse_rate_of(seen, round_trip))) break;
      }
      ASSERT_TRUE(coarse) << mbit << " " << round_trip_ms;
      EXPECT_NEAR(*coarse / (mbit * kMbit), 1, 0.15) << mbit << " " << round_trip_ms;
      EXPECT_LE(static_cast<double>(seen.back().bytes), 0.05 * 10 * mbit * kMbit + 65536)
          << mbit << " " << round_trip_ms;
    }
  }
}

// The sender waits for what it hears of arrivals before it has more under way.
TEST(CoarseRate, APauseOfTheSenderIsNotTheLevelOfTheLink) {
  for (const int round_trip_ms : {2, 50, 100}) {
    for (const double phase : {0.0, 0.3, 0.5, 0.8}) {
      const double turn_s = round_trip_ms * 1e-3 + 0.05;
      const auto whole = series(4s, [&](double t) {
        return std::min(20 * kMbit, 24576 / turn_s * std::pow(2, std::floor(t / turn_s + phase)));
      });
      const auto coarse = coarse_rate_of(whole, std::chrono::milliseconds(round_trip_ms));
      ASSERT_TRUE(coarse);
      EXPECT_NEAR(*coarse / (20 * kMbit), 1, 0.15) << round_trip_ms << " " << phase;
    }
  }
}

TEST(ArrivalSeries, WhatComesInQuickSuccessionIsOneEntry) {
  ArrivalSeries arrivals;
  for (int i = 0; i < 10'000; ++i) arrivals.add({i * 10us, static_cast<std::uint64_t>(i)});
  EXPECT_LE(arrivals.entries().size(), 102u);
  EXPECT_EQ(arrivals.entries().front(), (Arrival{0us, 0}));
  EXPECT_EQ(arrivals.last(), (Arrival{99'990us, 9999}));
}

TEST(Binned, BytesComeEvenlyBetweenTwoArrivals) {
  const std::vector<double> bins = binned({{0ms, 100}, {40ms, 500}, {50ms, 500}}, 20ms);
  EXPECT_EQ(bins, (std::vector<double>{200, 200}));
}

}  // namespace
}  // namespace ptrain::probe
