// How much may be under way, on a link that is played through.

#include "libcommon/probe/send_window.h"

#include <algorithm>
#include <vector>

#include <gtest/gtest.h>

namespace ptrain::probe {
namespace {

using namespace std::chrono_literals;

// A link of that rate and round trip, whose receiver acknowledges at once: what was sent in each
// millisecond, and what is under way at the end.
struct Played {
  double rate = 0;  // of the last second
  double under_way = 0;
};
Played play(double bytes_per_s, Duration round_trip) {
  SendWindow window(round_trip);
  double sent = 0;
  double through = 0;
  std::vector<double> through_at;
  const auto late = static_cast<std::size_t>(round_trip / 1ms);
  for (std::size_t t = 0; t < 5000; ++t) {
    const double acknowledged = t < late ? 0 : through_at[t - late];
    window.acknowledged(static_cast<std::uint64_t>(acknowledged), TimePoint() + t * Duration(1ms));
    sent = std::max(sent, acknowledged + static_cast<double>(window.bytes()));
    through = std::min(sent, through + bytes_per_s * 1e-3);
    through_at.push_back(through);
  }
  return {.rate = through_at[4999] - through_at[3999], .under_way = sent - through_at[4999 - late]};
}

TEST(SendWindow, FillsTheLinkAndLittleMore) {
  for (const double mbit : {1.0, 20.0, 200.0}) {
    for (const Duration round_trip : {Duration(2ms), Duration(50ms), Duration(200ms)}) {
      const double rate = mbit * 1e6 / 8;
      const Played played = play(rate, round_trip);
      EXPECT_NEAR(played.rate / rate, 1, 0.02) << mbit << " " << seconds(round_trip);
      const double most = std::max(2.2 * rate * seconds(round_trip + kAcknowledgementDelay),
                                   1.0 * kLeastWindowBytes);
      EXPECT_LE(played.under_way, most) << mbit << " " << seconds(round_trip);
    }
  }
}

TEST(SendWindow, DoesNotGrowWhereLessSeemsToBeAcknowledgedThanBefore) {
  SendWindow window(50ms);
  window.acknowledged(100'000, TimePoint());
  window.acknowledged(99'000, TimePoint() + 100ms);
  window.acknowledged(98'000, TimePoint() + 200ms);
  EXPECT_EQ(window.bytes(), kLeastWindowBytes);
}

TEST(SendWindow, HasBounds) {
  SendWindow window(50ms);
  EXPECT_EQ(window.bytes(), kLeastWindowBytes);
  window.acknowledged(0, TimePoint());
  window.acknowledged(std::uint64_t{1} << 40, TimePoint() + 1s);
  EXPECT_EQ(window.bytes(), kMostWindowBytes);
}

}  // namespace
}  // namespace ptrain::probe
