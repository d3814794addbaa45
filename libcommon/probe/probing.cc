#include "libcommon/probe/probing.h"

#include <algorithm>

#include "libcommon/base/base32.h"
#include "libcommon/base/random_source.h"

namespace ptrain::probe {

net::Introduction introduction() {
  return {.run = "probe", .job_hash = "", .stage_count = 2, .data_fingerprint = ""};
}

std::string draw_name() {
  SystemRandom random;
  return to_base32(random.bytes<5>());
}

bool is_name(std::string_view text) {
  const auto allowed = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-';
  };
  return !text.empty() && text.size() <= kMaxNameChars && std::ranges::all_of(text, allowed);
}

wire::ProbeLimits lower_of(const wire::ProbeLimits& a, const wire::ProbeLimits& b) {
  const auto lower_rate = [](std::uint64_t one, std::uint64_t other) {
    return one == 0 || other == 0 ? std::max(one, other) : std::min(one, other);
  };
  return {.bytes = std::min(a.bytes, b.bytes),
          .time = std::min(a.time, b.time),
          .rate_bytes_per_s = lower_rate(a.rate_bytes_per_s, b.rate_bytes_per_s)};
}

}  // namespace ptrain::probe
