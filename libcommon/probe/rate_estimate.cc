#include "libcommon/probe/rate_estimate.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <span>

#include "libcommon/probe/confidence.h"

namespace ptrain::probe {
namespace {

// Beside a round trip: so late a sender learns what has arrived, and may have more under way. A
// shorter bin would take the pause until then for the level of the link.
constexpr Duration kCoarseBesides = std::chrono::milliseconds(50);
// Two bins in a row that differ by less are alike: slow start doubles.
constexpr double kAlike = 0.2;
constexpr std::uint64_t kFewestCoarseBytes = 32 << 10;

double mean_of(std::span<const double> values) {
  return std::accumulate(values.begin(), values.end(), 0.0) / static_cast<double>(values.size());
}

double median_of(std::vector<double> values) {
  const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
  std::nth_element(values.begin(), middle, values.end());
  return *middle;
}

// The first bin that is near the level of the later half.
std::size_t end_of_slow_start(const std::vector<double>& bins) {
  const auto half = bins.begin() + static_cast<std::ptrdiff_t>(bins.size() / 2);
  const double level = median_of({half, bins.end()});
  const auto near = [level](double bin) { return std::abs(bin - level) <= kNear * level; };
  // Of a link that wanders no bin may be near; then the later half counts.
  const auto first = std::find_if(bins.begin(), half, near);
  return static_cast<std::size_t>(first - bins.begin());
}

bool halves_agree(std::span<const double> bins, double mean) {
  const std::size_t half = bins.size() / 2;
  return std::abs(mean_of(bins.first(half)) - mean_of(bins.last(half))) <= 2 * kEnough * mean;
}

}  // namespace

void ArrivalSeries::add(Arrival arrival) {
  const bool close =
      entries_.size() > 1 && arrival.since - entries_[entries_.size() - 2].since < kApart;
  if (close) {
    entries_.back() = arrival;
  } else if (entries_.size() < kMostArrivals) {
    entries_.push_back(arrival);
  }
}

// Between two arrivals bytes came evenly.
std::vector<double> binned(const std::vector<Arrival>& arrivals, Duration bin) {
  std::vector<double> bins;
  if (arrivals.size() < 2) return bins;
  Duration edge = arrivals.front().since + bin;
  double at_edge = static_cast<double>(arrivals.front().bytes);
  for (std::size_t i = 1; i < arrivals.size(); ++i) {
    const Arrival& from = arrivals[i - 1];
    const Arrival& to = arrivals[i];
    for (; edge <= to.since; edge += bin) {
      const double share = seconds(edge - from.since) / seconds(to.since - from.since);
      const double by_then =
          static_cast<double>(from.bytes) + share * static_cast<double>(to.bytes - from.bytes);
      bins.push_back(by_then - at_edge);
      at_edge = by_then;
    }
  }
  return bins;
}

std::optional<RateEstimate> rate_of(const std::vector<Arrival>& arrivals, Duration round_trip) {
  if (arrivals.size() < 2) return std::nullopt;
  const Duration whole = arrivals.back().since - arrivals.front().since;
  const Duration wanted = whole / static_cast<Duration::rep>(kWantedBins);
  const Duration bin = std::max(std::clamp(wanted, kShortestBin, kLongestBin), round_trip);
  const std::vector<double> bins = binned(arrivals, bin);
  if (bins.size() < 2) return std::nullopt;
  const std::size_t begin = std::min(end_of_slow_start(bins), bins.size() - 2);
  const std::span counting = std::span(bins).subspan(begin);
  const auto confidence = confidence_of(counting);
  const double per_s = 1 / seconds(bin);
  const Duration steady_for = bin * static_cast<Duration::rep>(counting.size());
  return RateEstimate{.bytes_per_s = confidence->mean * per_s,
                      .low = std::max(0.0, confidence->mean - confidence->half_width) * per_s,
                      .high = (confidence->mean + confidence->half_width) * per_s,
                      .slow_start = bin * static_cast<Duration::rep>(begin),
                      .bins = counting.size(),
                      .steady = counting.size() >= kFewestBins && steady_for >= kShortestSteady &&
                                confidence->mean > 0 && confidence->relative() <= kEnough &&
                                halves_agree(counting, confidence->mean)};
}

std::optional<double> coarse_rate_of(const std::vector<Arrival>& arrivals, Duration round_trip) {
  if (arrivals.size() < 2) return std::nullopt;
  const Duration bin = round_trip + kCoarseBesides;
  const std::vector<double> bins = binned(arrivals, bin);
  double before = 0;
  for (std::size_t i = 0; i + 1 < bins.size(); ++i) {
    before += bins[i];
    const double larger = std::max(bins[i], bins[i + 1]);
    const double smaller = std::min(bins[i], bins[i + 1]);
    const bool enough = before + bins[i + 1] >= static_cast<double>(kFewestCoarseBytes);
    if (!enough || larger <= 0 || smaller < (1 - kAlike) * larger) continue;
    return (bins[i] + bins[i + 1]) / 2 / seconds(bin);
  }
  return std::nullopt;
}

}  // namespace ptrain::probe
