// How much may be under way, so that it fills the link and little more: what is under way when
// enough has come is sent in vain. Pure.
//
// Twice what the link carried at best in a round trip and the time by which the peer's
// acknowledgements are late; so it doubles while the link carries more, as TCP's own does.

#pragma once

#include <cstdint>
#include <deque>

#include "libcommon/base/clock.h"

namespace ptrain::probe {

// What TCP sends at once on a new connection, and a little more.
inline constexpr std::uint64_t kLeastWindowBytes = 24u << 10;
inline constexpr std::uint64_t kMostWindowBytes = 32u << 20;
// Beside the round trip: acknowledgements, and the turns of threads on a busy host.
inline constexpr Duration kAcknowledgementDelay = std::chrono::milliseconds(60);

class SendWindow {
 public:
  explicit SendWindow(Duration round_trip) : round_trip_(round_trip) {}

  // So much had been acknowledged by then, in all; where it seems to be less than before, as much.
  void acknowledged(std::uint64_t bytes, TimePoint now);
  std::uint64_t bytes() const;
  double rate_bytes_per_s() const { return best_bytes_per_s_; }  // at best so far

 private:
  struct Point {
    TimePoint at;
    std::uint64_t bytes;
  };
  Duration round_trip_;
  std::deque<Point> recent_;
  double best_bytes_per_s_ = 0;
};

}  // namespace ptrain::probe
