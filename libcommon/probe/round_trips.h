// What many round trips say of a link, in figures that a person compares. Pure.

#pragma once

#include <cstddef>
#include <optional>
#include <vector>

#include "libcommon/base/clock.h"

namespace ptrain::probe {

struct RoundTrips {
  std::size_t count = 0;
  Duration least{};
  Duration median{};
  Duration p99{};     // 99 of 100 took no longer; of fewer than 100 the longest
  Duration jitter{};  // mean difference between one and the next (RFC 3550's, not smoothed)
  bool operator==(const RoundTrips&) const = default;
};

// In the order in which they were sent. nullopt of none.
std::optional<RoundTrips> round_trips_of(const std::vector<Duration>& measured);

}  // namespace ptrain::probe
