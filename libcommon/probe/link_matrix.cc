#include "libcommon/probe/link_matrix.h"

#include <algorithm>

namespace ptrain::probe {
namespace {

// A rate that is so near another is the same.
double share_that_is_left(const MatrixEdge& edge) {
  if (!edge.busy_bytes_per_s || edge.rate() <= 0) return 1;
  return std::min(1.0, *edge.busy_bytes_per_s / edge.rate());
}

bool touches(const std::pair<std::size_t, std::size_t>& key, std::size_t host,
             Direction direction) {
  return (direction == Direction::out ? key.first : key.second) == host;
}

}  // namespace

const MatrixEdge* LinkMatrix::edge(std::size_t from, std::size_t to) const {
  const auto found = edges.find({from, to});
  return found == edges.end() ? nullptr : &found->second;
}

void LinkMatrix::take(std::size_t a, std::size_t b, const wire::ProbeMeasured& measured,
                      WallClockTime at) {
  if (!measured.failure.empty()) return fail(a, b, measured.failure, at);
  const auto edge = [&](const wire::ProbeWay& way) {
    MatrixEdge taken{.path = measured.path,
                     .route = measured.route,
                     .round_trips = measured.round_trips,
                     .way = way,
                     .at = at};
    if (taken.rate() <= 0) taken.failed = "too little came to say anything";
    return taken;
  };
  edges.insert_or_assign({a, b}, edge(measured.to_peer));
  edges.insert_or_assign({b, a}, edge(measured.from_peer));
}

void LinkMatrix::fail(std::size_t a, std::size_t b, const std::string& why, WallClockTime at) {
  edges.emplace(std::pair(a, b), MatrixEdge{.failed = why, .at = at});
  edges.emplace(std::pair(b, a), MatrixEdge{.failed = why, .at = at});
}

std::size_t LinkMatrix::failures() const {
  return static_cast<std::size_t>(
      std::ranges::count_if(edges, [](const auto& entry) { return !entry.second.failed.empty(); }));
}

std::optional<double> capacity_of(const LinkMatrix& matrix, std::size_t host, Direction direction) {
  double best = 0;
  double left = 1;
  for (const auto& [key, edge] : matrix.edges) {
    if (!touches(key, host, direction) || !edge.failed.empty()) continue;
    best = std::max(best, edge.rate());
    left = std::min(left, share_that_is_left(edge));
  }
  if (best <= 0) return std::nullopt;
  return best * left;
}

std::vector<std::pair<std::size_t, std::size_t>> ring_of(const LinkMatrix& matrix) {
  std::vector<std::size_t> hosts;
  for (std::size_t i = 0; i < matrix.hosts.size(); ++i) {
    if (capacity_of(matrix, i, Direction::out)) hosts.push_back(i);
  }
  if (hosts.size() < 3) return {};
  std::vector<std::pair<std::size_t, std::size_t>> ring;
  for (std::size_t i = 0; i < hosts.size(); ++i) {
    ring.emplace_back(hosts[i], hosts[(i + 1) % hosts.size()]);
  }
  return ring;
}

}  // namespace ptrain::probe
