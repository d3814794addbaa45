// The links between all hosts of a run, as far as they were measured: a value.

#pragma once

#include <chrono>
#include <cstddef>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "libcommon/wire/probe.h"

namespace ptrain::probe {

using WallClockTime = std::chrono::system_clock::time_point;

// From one host to another.
struct MatrixEdge {
  std::string failed{};  // why there is nothing else; empty: there is
  std::string path{};
  std::string route{};
  wire::ProbeRoundTrips round_trips{};
  wire::ProbeWay way{};
  std::optional<double> busy_bytes_per_s{};  // while all hosts were at work
  WallClockTime at{};
  bool stale = false;  // it was measured before, and could not be now

  // What is known of the rate: the mean, or what a glance said; 0: nothing.
  double rate() const { return way.rate > 0 ? way.rate : way.coarse; }
};

struct MatrixHost {
  std::string name;
  std::string failed{};  // why nothing could be measured with it
};

struct LinkMatrix {
  std::vector<MatrixHost> hosts;
  std::map<std::pair<std::size_t, std::size_t>, MatrixEdge> edges;  // from, to
  WallClockTime ended{};

  const MatrixEdge* edge(std::size_t from, std::size_t to) const;
  // Both ways, from what the first measured.
  void take(std::size_t a, std::size_t b, const wire::ProbeMeasured& measured, WallClockTime at);
  // Both ways, unless they are there.
  void fail(std::size_t a, std::size_t b, const std::string& why, WallClockTime at);

  std::size_t failures() const;  // edges
};

// What a host sends to all others together, or gets from them: its best rate alone, less what it
// lost when all were at work. nullopt where nothing is known.
enum class Direction { out, in };
std::optional<double> capacity_of(const LinkMatrix& matrix, std::size_t host, Direction direction);

// For the round in which all are at work: a ring through the hosts with which something could be
// measured, in their order; each sends to the next. None of fewer than three, which have nobody
// else to be busy with.
std::vector<std::pair<std::size_t, std::size_t>> ring_of(const LinkMatrix& matrix);

}  // namespace ptrain::probe
