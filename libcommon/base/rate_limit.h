// How many bytes a second may pass. Pure.
//
// A bucket that fills at the rate and may be overdrawn: what is spent at once can be larger
// than the bucket (a chunk is), and the debt is waited off before the next. Without a rate
// there is no limit.

#pragma once

#include <cstdint>
#include <optional>

#include "libcommon/base/clock.h"
#include "libcommon/base/units.h"

namespace ptrain {

// Slower than this 4 MiB take an hour, and a mistyped unit is likelier.
inline constexpr std::uint64_t kMinRateBytesPerS = 1000;

class RateLimit {
 public:
  // `bytes_per_s`: none, or at least kMinRateBytesPerS (Error(usage) otherwise).
  RateLimit(std::optional<ByteCount> bytes_per_s, TimePoint now);

  // Whether something may be spent now.
  bool ready(TimePoint now) const { return now >= free_at_; }
  TimePoint ready_at() const { return free_at_; }
  void spend(ByteCount bytes, TimePoint now);

 private:
  std::optional<ByteCount> bytes_per_s_;
  TimePoint free_at_;  // when all that was spent is paid for
};

}  // namespace ptrain
