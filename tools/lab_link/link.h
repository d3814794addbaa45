// A long link between two network devices: what one sends the other receives, later, less what
// is lost, and never faster than the rate. A thread of one's own; everything else is Line's.

#pragma once

#include <cstddef>
#include <deque>
#include <optional>
#include <span>
#include <vector>

#include "libcommon/base/clock.h"
#include "tools/lab_link/line.h"
#include "tools/lab_link/tap.h"

namespace ptrain::lab_link {

// Memory for frames under way, each direction. A gigabit for two seconds.
constexpr std::size_t kMostBytesUnderWay = 256u << 20;

// What one host sends to another by IP. The rest, ARP above all, passes at once: a line between
// homes would have none of it, and the seed shall decide about packets that somebody sent.
bool goes_over_the_line(std::span<const std::byte> frame);

// One direction. Frames are dropped when their memory is used up.
class Direction {
 public:
  Direction(Tap& from, Tap& to, const LineOptions& options)
      : from_(from), to_(to), line_(options) {}

  // Reads what waits. Says whether there may be more.
  bool take(TimePoint now);
  // Writes what has arrived by now.
  void deliver(TimePoint now);

  std::optional<TimePoint> next_arrival() const;
  int incoming_fd() const { return from_.fd(); }

 private:
  struct Frame {
    TimePoint arrival;
    std::vector<std::byte> bytes;
  };

  Tap& from_;
  Tap& to_;
  Line line_;
  std::deque<Frame> under_way_;  // in the order of their arrival
  std::size_t bytes_under_way_ = 0;
};

// Returns never; throws Error(io) when a device goes away.
[[noreturn]] void run_link(Direction& there, Direction& back, const Clock& clock);

}  // namespace ptrain::lab_link
