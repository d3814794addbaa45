// Lines that strangers can cause, so that nobody can fill a log from outside: some at once, then at
// most one in five seconds. Says how many it kept back. One thread.

#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "libcommon/base/clock.h"
#include "libcommon/base/log.h"

namespace ptrain::net {

inline constexpr Duration kWarningInterval = std::chrono::seconds(5);

class WarningLimiter {
 public:
  explicit WarningLimiter(Log& log, unsigned at_once = 1) : log_(log), at_once_(at_once) {}

  void warn(std::string_view line, TimePoint now);
  void inform(std::string_view line, TimePoint now);

 private:
  // The line, with what was kept back before it; empty where it is kept back itself.
  std::string passed(std::string_view line, TimePoint now);

  Log& log_;
  unsigned at_once_;
  unsigned used_ = 0;  // of those at once
  TimePoint since_{};  // when the last of them came back
  std::uint64_t kept_back_ = 0;
};

}  // namespace ptrain::net
