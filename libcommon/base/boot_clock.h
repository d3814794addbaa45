// A clock that goes on while the machine sleeps, for what has been promised to others until a time:
// who wakes up has to see that it is over. Comparable with itself alone, on one machine, until the
// next boot.

#pragma once

#include <ctime>

#include "libcommon/base/clock.h"

namespace ptrain {

class BootClock final : public Clock {
 public:
  TimePoint now() const override {
    timespec since_boot{};
    ::clock_gettime(CLOCK_BOOTTIME, &since_boot);
    return TimePoint(std::chrono::seconds(since_boot.tv_sec) +
                     std::chrono::nanoseconds(since_boot.tv_nsec));
  }
};

inline TimePoint boot_now() { return BootClock().now(); }

}  // namespace ptrain
