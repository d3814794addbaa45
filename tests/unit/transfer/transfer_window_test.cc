// The window against a link of a given rate and round trip.

#include "libcommon/transfer/transfer_window.h"

#include <algorithm>
#include <deque>

#include <gtest/gtest.h>

namespace ptrain::transfer {
namespace {

using namespace std::chrono_literals;

// Sends `count` chunks over a link that takes `each` for one and answers after `round_trip`;
// returns the time, and leaves the window as it is then.
Duration send(TransferWindow& window, int count, Duration each, Duration round_trip) {
  TimePoint now{};
  TimePoint link_free{};
  std::deque<TimePoint> arrivals;
  for (int arrived = 0; arrived < count;) {
    while (arrivals.size() < window.size()) {
      link_free = std::max(link_free, now + round_trip) + each;
      arrivals.push_back(link_free);
    }
    now = arrivals.front();
    arrivals.pop_front();
    ++arrived;
    window.chunk_arrived(now);
  }
  return now - TimePoint{};
}

TEST(TransferWindow, StaysSmallWhereALargerOneBringsNothing) {
  TransferWindow window;
  send(window, 500, 160ms, 20ms);  // 200 Mbit/s: two chunks cover the round trip
  EXPECT_LE(window.size(), kFirstWindow + 1);
}

TEST(TransferWindow, GrowsUntilALongFastLinkIsFull) {
  TransferWindow window;
  const Duration took = send(window, 500, 10ms, 60ms);  // 3.4 Gbit/s over 60 ms: 7 chunks
  EXPECT_GE(window.size(), 6u);
  EXPECT_LE(took, 8s);  // 5 s is the least
}

TEST(TransferWindow, HasALimit) {
  TransferWindow window;
  send(window, 5000, 1ms, 500ms);
  EXPECT_LE(window.size(), kLargestWindow);
  EXPECT_GE(window.size(), kLargestWindow - 1);
}

}  // namespace
}  // namespace ptrain::transfer
