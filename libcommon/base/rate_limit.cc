#include "libcommon/base/rate_limit.h"

#include <algorithm>

#include <fmt/format.h>

#include "libcommon/base/error.h"

namespace ptrain {

RateLimit::RateLimit(std::optional<ByteCount> bytes_per_s, TimePoint now)
    : bytes_per_s_(bytes_per_s), free_at_(now) {
  if (bytes_per_s && bytes_per_s->value() < kMinRateBytesPerS) {
    throw Error(ErrorKind::usage, fmt::format("a rate of {} bytes a second, at least {} needed",
                                              bytes_per_s->value(), kMinRateBytesPerS));
  }
}

void RateLimit::spend(ByteCount bytes, TimePoint now) {
  if (!bytes_per_s_) return;
  const std::chrono::duration<double> price(static_cast<double>(bytes.value()) /
                                            static_cast<double>(bytes_per_s_->value()));
  free_at_ = std::max(free_at_, now) + std::chrono::duration_cast<Duration>(price);
}

}  // namespace ptrain
