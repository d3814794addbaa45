#include "libcommon/net/warning_limiter.h"

#include <utility>

#include <fmt/format.h>

namespace ptrain::net {

void WarningLimiter::warn(const std::string& line, TimePoint now) {
  if (last_ && now - *last_ < kWarningInterval) {
    ++kept_back_;
    return;
  }
  last_ = now;
  const std::uint64_t others = std::exchange(kept_back_, 0);
  log_.warning(others == 0 ? line : fmt::format("{} (and {} more like it)", line, others));
}

}  // namespace ptrain::net
