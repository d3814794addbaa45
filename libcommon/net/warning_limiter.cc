#include "libcommon/net/warning_limiter.h"

#include <utility>

#include <fmt/format.h>

namespace ptrain::net {

std::string WarningLimiter::passed(std::string_view line, TimePoint now) {
  while (used_ > 0 && now - since_ >= kWarningInterval) {
    --used_;
    since_ += kWarningInterval;
  }
  if (used_ == 0) since_ = now;
  if (used_ == at_once_) {
    ++kept_back_;
    return {};
  }
  ++used_;
  const std::uint64_t others = std::exchange(kept_back_, 0);
  return others == 0 ? std::string(line) : fmt::format("{} (and {} more like it)", line, others);
}

void WarningLimiter::warn(std::string_view line, TimePoint now) {
  if (const std::string text = passed(line, now); !text.empty()) log_.warning(text);
}

void WarningLimiter::inform(std::string_view line, TimePoint now) {
  if (const std::string text = passed(line, now); !text.empty()) log_.info(text);
}

}  // namespace ptrain::net
