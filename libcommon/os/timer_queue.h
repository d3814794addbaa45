// The timers of a loop, by when they are due. Pure; one thread.

#pragma once

#include <cstdint>
#include <memory>
#include <set>
#include <utility>

#include "libcommon/os/loop.h"

namespace ptrain::os {

class TimerQueue {
 public:
  // Must go before the queue does.
  std::unique_ptr<Loop::Timer> make(Loop::Callback due);

  TimePoint next() const { return timers_.empty() ? TimePoint::max() : timers_.begin()->when; }
  // Calls those that are due at `now`, each once: one that sets itself again has its next turn in
  // the next round.
  void run(TimePoint now);

 private:
  class Entry;
  struct Due {
    TimePoint when;
    std::uint64_t number;
    Entry* entry;
    bool operator<(const Due& other) const {
      return std::pair(when, number) < std::pair(other.when, other.number);
    }
  };
  std::set<Due> timers_;
  std::uint64_t numbers_ = 0;
};

}  // namespace ptrain::os
