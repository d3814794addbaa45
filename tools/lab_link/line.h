// One direction of a long link, as a function of time: which frames it takes, and when each comes
// out at the other end. A sender of one rate with a drop-tail queue before it, then a delay that
// may wander, then loss.
//
// No socket and no clock: frames are shown to it in the order of their times. What is lost depends
// on the seed, the line's name and how many frames were sent before, and on no time; so a run that
// sends the same frames loses the same ones. Frames never overtake each other. One thread.

#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>

#include "libcommon/base/clock.h"
#include "libcommon/job/keyed_random.h"

namespace ptrain::lab_link {

struct LineOptions {
  std::uint64_t rate_bits_per_s = 0;               // 0: as fast as frames come
  Duration queue = std::chrono::milliseconds(50);  // the longest that a frame waits to be sent
  Duration delay{};
  Duration jitter{};  // the delay wanders between `delay` and this much more
  double loss = 0;    // the share of frames that never arrive, 0 to 1
  std::uint64_t seed = 1;
  std::string name{};  // lines of one seed and different names lose different frames
};

class Line {
 public:
  explicit Line(const LineOptions& options);

  // When a frame that comes now is at the other end; nullopt when the queue is full or the frame
  // is lost on the way.
  std::optional<TimePoint> carry(TimePoint now, std::size_t bytes);

 private:
  std::optional<TimePoint> sent_at(TimePoint now, std::size_t bytes);
  Duration wander(TimePoint at);

  LineOptions options_;
  job::KeyedRandom loss_;
  job::KeyedRandom jitter_;
  TimePoint sender_free_{};
  TimePoint last_arrival_{};
  // The wandering delay is a straight line between two random values, a knot apart.
  TimePoint knot_{};
  double at_knot_ = 0;
  double at_next_knot_ = 0;
};

}  // namespace ptrain::lab_link
