#include "libcommon/probe/round_trips.h"

#include <algorithm>

namespace ptrain::probe {
namespace {

Duration median_of(const std::vector<Duration>& sorted) {
  const std::size_t middle = sorted.size() / 2;
  if (sorted.size() % 2 == 1) return sorted[middle];
  return (sorted[middle - 1] + sorted[middle]) / 2;
}

Duration jitter_of(const std::vector<Duration>& measured) {
  if (measured.size() < 2) return Duration::zero();
  Duration sum{};
  for (std::size_t i = 1; i < measured.size(); ++i) {
    sum += std::chrono::abs(measured[i] - measured[i - 1]);
  }
  return sum / static_cast<Duration::rep>(measured.size() - 1);
}

}  // namespace

std::optional<RoundTrips> round_trips_of(const std::vector<Duration>& measured) {
  if (measured.empty()) return std::nullopt;
  std::vector<Duration> sorted = measured;
  std::ranges::sort(sorted);
  const std::size_t within = (sorted.size() * 99 + 99) / 100;  // rounded up
  return RoundTrips{.count = sorted.size(),
                    .least = sorted.front(),
                    .median = median_of(sorted),
                    .p99 = sorted[within - 1],
                    .jitter = jitter_of(measured)};
}

}  // namespace ptrain::probe
