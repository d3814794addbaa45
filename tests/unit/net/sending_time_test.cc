#include "libcommon/net/sending_time.h"

#include <algorithm>

#include <gtest/gtest.h>

namespace ptrain::net {
namespace {

using std::chrono::milliseconds;

TimePoint at(int ms) { return TimePoint{} + milliseconds(ms); }

constexpr Duration kRoundTrip = milliseconds(100);

TEST(SendingTime, IsTheTimeOnTheWayLessARoundTrip) {
  SendingTime sending(Duration::zero());
  sending.observe(0, 0, kRoundTrip, at(0));
  sending.observe(1000, 0, kRoundTrip, at(10));
  sending.observe(1000, 1000, kRoundTrip, at(410));
  EXPECT_EQ(sending.busy(), milliseconds(300));
  EXPECT_EQ(sending.bytes(), 1000u);
}

TEST(SendingTime, OfSmallThingsOverALongLineIsNothingThoughSomethingIsAlwaysOnItsWay) {
  SendingTime sending(milliseconds(25));
  std::uint64_t taken = 0;
  for (int ms = 0; ms < 10'000; ms += 50) {  // each is acknowledged after 100 ms
    taken += 10;
    sending.observe(taken, taken - std::min<std::uint64_t>(taken, 20), kRoundTrip, at(ms));
  }
  EXPECT_EQ(sending.busy(), Duration::zero());
  EXPECT_EQ(sending.bytes(), taken - 20);
}

TEST(SendingTime, OfWhatWaitsBehindSomethingBeginsWhenThatIsThrough) {
  SendingTime sending(Duration::zero());
  sending.observe(1000, 0, kRoundTrip, at(0));
  sending.observe(2000, 0, kRoundTrip, at(1));
  sending.observe(2000, 1000, kRoundTrip, at(400));
  sending.observe(2000, 2000, kRoundTrip, at(700));
  EXPECT_EQ(sending.busy(), milliseconds(600));
}

TEST(SendingTime, CountsTheShortestRoundTripSinceOthersHaveQueued) {
  SendingTime sending(Duration::zero());
  sending.observe(1000, 0, kRoundTrip, at(0));
  sending.observe(1000, 1000, milliseconds(900), at(1000));
  EXPECT_EQ(sending.busy(), milliseconds(900));
}

TEST(SendingTime, WithoutAKnownRoundTripSaysNothing) {
  SendingTime sending(Duration::zero());
  sending.observe(1000, 0, std::nullopt, at(0));
  sending.observe(1000, 1000, std::nullopt, at(1000));
  EXPECT_EQ(sending.busy(), Duration::zero());
}

TEST(SendingTime, GoesOnWithAnotherProcessOfThePeer) {
  SendingTime sending(Duration::zero());
  sending.observe(1000, 0, kRoundTrip, at(0));
  sending.observe(1000, 1000, kRoundTrip, at(300));
  sending.observe(0, 0, kRoundTrip, at(400));
  sending.observe(500, 0, kRoundTrip, at(500));
  sending.observe(500, 500, kRoundTrip, at(800));
  EXPECT_EQ(sending.busy(), milliseconds(400));
  EXPECT_EQ(sending.bytes(), 1500u);
}

}  // namespace
}  // namespace ptrain::net
