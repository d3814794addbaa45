// How much may be asked for: something at once, and then so much a second. Pure.

#pragma once

#include <algorithm>
#include <chrono>

#include "libcommon/base/clock.h"

namespace ptrain {

struct BucketRule {
  double per_s = 0;
  double burst = 0;
  double debt = 0;  // so far below nothing it goes: who asks on and on waits until it has stopped
};

class TokenBucket {
 public:
  TokenBucket(BucketRule rule, TimePoint now) : rule_(rule), level_(rule.burst), at_(now) {}

  double level(TimePoint now) const {
    return std::min(rule_.burst, level_ + rule_.per_s * std::max(0.0, seconds(now - at_)));
  }
  bool full(TimePoint now) const { return level(now) >= rule_.burst; }
  void take(double cost, TimePoint now) {
    level_ = std::max(level(now) - cost, -rule_.debt);
    at_ = now;
  }
  // Until `cost` is there.
  Duration wait(double cost, TimePoint now) const {
    const double missing = std::max(0.0, cost - level(now));
    return std::chrono::duration_cast<Duration>(
        std::chrono::duration<double>(missing / rule_.per_s));
  }

 private:
  BucketRule rule_;
  double level_;
  TimePoint at_;
};

}  // namespace ptrain
