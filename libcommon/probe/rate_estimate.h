// What a link carries, of the bytes that arrived over it by then. Pure.
//
// The series is cut into bins of one length, a round trip or more. A connection begins slowly (TCP
// doubles what is under way each round trip), or with what a shaper lets through at once, so bins
// count from the first on that is near the level of the later half. What follows is steady where
// its halves agree and its mean is known within kEnough by 95 %.

#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

#include "libcommon/base/clock.h"

namespace ptrain::probe {

// A 95 % interval of 5 %: 2.5 % to each side.
inline constexpr double kEnough = 0.025;
// How near the later level the first bin that counts is.
inline constexpr double kNear = 0.15;
inline constexpr std::size_t kFewestBins = 8;  // that count, before they are called steady
inline constexpr std::size_t kWantedBins = 24;
inline constexpr Duration kShortestBin = std::chrono::milliseconds(10);
inline constexpr Duration kLongestBin = std::chrono::milliseconds(250);
// Beyond slow start, whatever the figures say.
inline constexpr Duration kShortestSteady = std::chrono::milliseconds(500);

struct Arrival {
  Duration since{};         // the first
  std::uint64_t bytes = 0;  // that had come by then
  bool operator==(const Arrival&) const = default;
};

// Of arrivals, both growing. What comes in quick succession is one entry, so that a fast link fills
// no memory; beyond kMostArrivals nothing is added.
class ArrivalSeries {
 public:
  static constexpr Duration kApart = std::chrono::milliseconds(2);
  static constexpr std::size_t kMostArrivals = 1 << 20;

  // Precondition: not before the last, and no fewer bytes.
  void add(Arrival arrival);
  const std::vector<Arrival>& entries() const { return entries_; }
  Arrival last() const { return entries_.empty() ? Arrival{} : entries_.back(); }

 private:
  std::vector<Arrival> entries_;
};

struct RateEstimate {
  double bytes_per_s = 0;
  double low = 0;  // by 95 %
  double high = 0;
  Duration slow_start{};  // before the first bin that counts
  std::size_t bins = 0;   // that count
  bool steady = false;
};

// nullopt of fewer than two bins, or where nothing came after the first arrival.
std::optional<RateEstimate> rate_of(const std::vector<Arrival>& arrivals, Duration round_trip);

// At a glance, of the first burst: what two bins in a row that are alike say, once there are some.
// A bin is a round trip and 50 ms.
std::optional<double> coarse_rate_of(const std::vector<Arrival>& arrivals, Duration round_trip);

// The bytes of each bin of that length, from the first arrival on; what is left over is left out.
std::vector<double> binned(const std::vector<Arrival>& arrivals, Duration bin);

}  // namespace ptrain::probe
