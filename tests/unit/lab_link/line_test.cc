#include "tools/lab_link/line.h"

#include <algorithm>
#include <vector>

#include <gmock/gmock.h>

namespace ptrain::lab_link {
namespace {

using namespace std::chrono_literals;

constexpr std::size_t kFrame = 1250;  // 10,000 bits: 1 ms at 10 Mbit/s
constexpr std::uint64_t kRate = 10'000'000;

std::optional<Duration> since_start(std::optional<TimePoint> arrival) {
  if (!arrival) return std::nullopt;
  return *arrival - TimePoint{};
}

// Which of so many frames, one a millisecond, are lost.
std::vector<bool> fates(const LineOptions& options, int frames, Duration apart = 1ms) {
  Line line(options);
  std::vector<bool> lost;
  for (int i = 0; i < frames; ++i) {
    lost.push_back(!line.carry(TimePoint{} + i * apart, kFrame));
  }
  return lost;
}

TEST(Line, CarriesAtOnceUnlessToldOtherwise) {
  Line line({});
  for (int i = 0; i < 100; ++i) EXPECT_EQ(since_start(line.carry(TimePoint{}, kFrame)), 0ns);
}

TEST(Line, AFrameArrivesAfterItsSendingAndTheDelay) {
  Line line({.rate_bits_per_s = kRate, .delay = 40ms});
  EXPECT_EQ(since_start(line.carry(TimePoint{}, kFrame)), 41ms);
  EXPECT_EQ(since_start(line.carry(TimePoint{} + 10ms, kFrame)), 51ms);
}

TEST(Line, FramesThatComeTogetherAreSentOneAfterTheOther) {
  Line line({.rate_bits_per_s = kRate, .queue = 1s});
  for (int i = 1; i <= 100; ++i) {
    EXPECT_EQ(since_start(line.carry(TimePoint{}, kFrame)), i * 1ms);
  }
}

TEST(Line, ADroppedFrameTakesNoTimeAndTheQueueIsAsLongAsNamed) {
  Line line({.rate_bits_per_s = kRate, .queue = 5ms});
  for (int i = 1; i <= 6; ++i) {  // one is being sent, five wait up to 5 ms
    EXPECT_EQ(since_start(line.carry(TimePoint{}, kFrame)), i * 1ms);
  }
  EXPECT_EQ(line.carry(TimePoint{}, kFrame), std::nullopt);
  EXPECT_EQ(line.carry(TimePoint{} + 999us, kFrame), std::nullopt);
  EXPECT_EQ(since_start(line.carry(TimePoint{} + 1ms, kFrame)), 7ms);
}

TEST(Line, LosesTheShareThatWasAskedFor) {
  const auto lost = fates({.loss = 0.01}, 100'000);
  EXPECT_NEAR(std::ranges::count(lost, true), 1000, 100);  // three deviations are 94
}

TEST(Line, LosesAllOrNothingWhenToldSo) {
  EXPECT_EQ(std::ranges::count(fates({.loss = 0}, 1000), true), 0);
  EXPECT_EQ(std::ranges::count(fates({.loss = 1}, 1000), true), 1000);
}

TEST(Line, TheSeedAndTheNameDecideWhatIsLostAndTimeDoesNot) {
  const LineOptions options{.loss = 0.1, .seed = 7, .name = "h1 up"};
  const auto lost = fates(options, 1000);
  EXPECT_EQ(fates(options, 1000, 3ms), lost);
  LineOptions other = options;
  other.seed = 8;
  EXPECT_NE(fates(other, 1000), lost);
  other = options;
  other.name = "h1 down";
  EXPECT_NE(fates(other, 1000), lost);
}

TEST(Line, ALostFrameTookItsTimeOfTheLine) {
  Line line({.rate_bits_per_s = kRate, .queue = 1s, .loss = 0.5});
  int carried = 0;
  std::optional<TimePoint> last;
  for (int i = 0; i < 100; ++i) {
    const auto arrival = line.carry(TimePoint{}, kFrame);
    if (!arrival) continue;
    ++carried;
    last = arrival;
  }
  EXPECT_LT(carried, 75);
  EXPECT_GT(since_start(last), 80ms);
}

// What jitter added to each of so many frames.
std::vector<Duration> wanderings(Duration apart, int frames) {
  Line line({.delay = 20ms, .jitter = 10ms});
  std::vector<Duration> added;
  TimePoint last{};
  for (int i = 0; i < frames; ++i) {
    const TimePoint now = TimePoint{} + i * apart;
    const TimePoint arrival = line.carry(now, kFrame).value();
    EXPECT_GE(arrival, last) << "frame " << i << " overtook another";
    last = arrival;
    added.push_back(arrival - now - 20ms);
  }
  return added;
}

TEST(Line, JitterStaysWithinItsBoundsAndUsesThem) {
  for (const Duration apart : {Duration(60us), Duration(7ms), Duration(50ms), Duration(1s)}) {
    const auto added = wanderings(apart, static_cast<int>(20s / apart) + 2000);
    EXPECT_GE(*std::ranges::min_element(added), 0ms);
    EXPECT_LE(*std::ranges::max_element(added), 10ms);
    EXPECT_LT(*std::ranges::min_element(added), 1ms);
    EXPECT_GT(*std::ranges::max_element(added), 9ms);
  }
}

TEST(Line, JitterLeavesTheSpacingOfFramesInABurstNearlyAlone) {
  const auto added = wanderings(100us, 100'000);
  for (std::size_t i = 1; i < added.size(); ++i) {
    EXPECT_LE(std::max(added[i] - added[i - 1], added[i - 1] - added[i]), 51us);
  }
}

}  // namespace
}  // namespace ptrain::lab_link
