// Warnings that strangers can cause, at most one in five seconds, so that nobody
// can fill a log from outside. Says how many it kept back. One thread.

#pragma once

#include <optional>
#include <string>

#include "libcommon/base/clock.h"
#include "libcommon/base/log.h"

namespace ptrain::net {

inline constexpr Duration kWarningInterval = std::chrono::seconds(5);

class WarningLimiter {
 public:
  explicit WarningLimiter(Log& log) : log_(log) {}

  void warn(const std::string& line, TimePoint now);

 private:
  Log& log_;
  std::optional<TimePoint> last_;
  std::uint64_t kept_back_ = 0;
};

}  // namespace ptrain::net
