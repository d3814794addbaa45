// Time since the host was started, also while it slept: a lease ends at the gateway meanwhile.

#pragma once

#include <ctime>

#include "libcommon/base/clock.h"

namespace ptrain::punch {

class BootClock final : public Clock {
 public:
  TimePoint now() const override {
    timespec time{};
    ::clock_gettime(CLOCK_BOOTTIME, &time);
    return TimePoint(std::chrono::seconds(time.tv_sec) + std::chrono::nanoseconds(time.tv_nsec));
  }
};

}  // namespace ptrain::punch
