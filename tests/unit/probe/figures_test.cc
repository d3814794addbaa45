// Means with their intervals, and round trips.

#include <cmath>
#include <vector>

#include <gtest/gtest.h>

#include "libcommon/probe/confidence.h"
#include "libcommon/probe/echo_train.h"
#include "libcommon/probe/round_trips.h"

namespace ptrain::probe {
namespace {

using namespace std::chrono_literals;

TEST(StudentT, IsThatOfTheTables) {
  EXPECT_NEAR(student_t(1), 12.706, 0.001);
  EXPECT_NEAR(student_t(10), 2.228, 0.001);
  EXPECT_NEAR(student_t(11), 2.201, 0.001);
  EXPECT_NEAR(student_t(30), 2.042, 0.001);
  EXPECT_NEAR(student_t(1000), 1.962, 0.001);
}

TEST(Confidence, OfIndependentValuesIsStudents) {
  // Mean 10, deviation 1.6036, and neighbours that differ.
  const auto confidence = confidence_of(std::vector<double>{12, 8, 12, 8, 10, 9, 11, 10});
  ASSERT_TRUE(confidence);
  EXPECT_DOUBLE_EQ(confidence->mean, 10);
  EXPECT_NEAR(confidence->half_width, 2.3646 * 1.6036 / std::sqrt(8.0), 0.01);
}

TEST(Confidence, NeighboursThatResembleEachOtherSayLess) {
  const auto mixed = confidence_of(std::vector<double>{8, 12, 8, 12, 8, 12, 8, 12});
  const auto in_rows = confidence_of(std::vector<double>{8, 8, 8, 8, 12, 12, 12, 12});
  EXPECT_GT(in_rows->half_width, 1.5 * mixed->half_width);
}

TEST(Confidence, OfOneValueNothingIsKnownAndOfEqualOnesAll) {
  EXPECT_FALSE(confidence_of(std::vector<double>{1}));
  EXPECT_EQ(confidence_of(std::vector<double>{3, 3, 3}), (Confidence{.mean = 3}));
  EXPECT_EQ(confidence_of(std::vector<double>{0, 0})->relative(), 0);
}

TEST(RoundTrips, MedianLongestAndJitter) {
  const auto figures = round_trips_of({10ms, 14ms, 11ms, 40ms});
  ASSERT_TRUE(figures);
  EXPECT_EQ(figures->count, 4u);
  EXPECT_EQ(figures->least, 10ms);
  EXPECT_EQ(figures->median, 12500us);
  EXPECT_EQ(figures->p99, 40ms);
  EXPECT_EQ(figures->jitter, (4ms + 3ms + 29ms) / 3);
  EXPECT_EQ(round_trips_of({7ms})->jitter, 0ms);
  EXPECT_FALSE(round_trips_of({}));
}

TEST(RoundTrips, NinetyNineOfAHundredTookNoLonger) {
  std::vector<Duration> measured(99, 5ms);
  measured.push_back(500ms);
  EXPECT_EQ(round_trips_of(measured)->p99, 5ms);
  measured.push_back(500ms);
  EXPECT_EQ(round_trips_of(measured)->p99, 500ms);
}

TEST(EchoTrain, AsksAtItsIntervalAndCountsAfterTheWarmUp) {
  FakeClock clock;
  EchoTrain train(100, 20ms, 1);
  ASSERT_TRUE(train.due(clock.now()));
  EXPECT_EQ(train.ask(clock.now()), 101u);
  EXPECT_FALSE(train.due(clock.now()));
  clock.advance(20ms);
  ASSERT_TRUE(train.due(clock.now()));
  EXPECT_EQ(train.ask(clock.now()), 102u);
  EXPECT_FALSE(train.answered(101, clock.now()));
  clock.advance(5ms);
  EXPECT_FALSE(train.answered(102, clock.now()));
  EXPECT_EQ(train.measured(), std::vector<Duration>{5ms});
  EXPECT_EQ(train.under_way(), 0u);
}

TEST(EchoTrain, AnAnswerThatWasNotAskedForIsNamed) {
  EchoTrain train(0, 20ms);
  train.ask({});
  EXPECT_FALSE(train.answered(1, {}));
  EXPECT_TRUE(train.answered(1, {}));
  EXPECT_TRUE(train.answered(2, {}));
}

}  // namespace
}  // namespace ptrain::probe
