// A long link between two network devices: what one sends the other receives, later, less what
// is lost, and never faster than the rate. A thread of one's own; everything else is Line's.

#pragma once

#include <cstddef>
#include <optional>
#include <span>

#include "libcommon/base/clock.h"
#include "tools/lab_link/frames_under_way.h"
#include "tools/lab_link/line.h"
#include "tools/lab_link/tap.h"

namespace ptrain::lab_link {

// What one host sends to another by IP. The rest, ARP above all, passes at once: a line between
// homes would have none of it, and the seed shall decide about packets that somebody sent.
bool goes_over_the_line(std::span<const std::byte> frame);

// One direction. A frame is dropped when there is no memory for it.
class Direction {
 public:
  Direction(Tap& from, Tap& to, const LineOptions& options)
      : from_(from), to_(to), line_(options) {}

  // Reads what waits. Says whether there may be more.
  bool take(TimePoint now);
  // Writes what has arrived by now.
  void deliver(TimePoint now);

  std::optional<TimePoint> next_arrival() const { return under_way_.next_arrival(); }
  int incoming_fd() const { return from_.fd(); }

 private:
  Tap& from_;
  Tap& to_;
  Line line_;
  FramesUnderWay under_way_;
};

// Returns never; throws Error(io) when a device goes away.
[[noreturn]] void run_link(Direction& there, Direction& back, const Clock& clock);

}  // namespace ptrain::lab_link
