#include "tools/probe/matrix_report.h"

#include <algorithm>
#include <chrono>
#include <functional>
#include <map>
#include <vector>

#include <fmt/format.h>

#include "libcommon/net/wall_time.h"

namespace ptrain::probe_tool {
namespace {

using probe::LinkMatrix;
using probe::MatrixEdge;

constexpr std::size_t kLeastColumn = 7;

double mbit(double bytes_per_s) { return bytes_per_s * 8 / 1e6; }

std::string rate_cell(const MatrixEdge& edge) {
  if (!edge.failed.empty()) return "failed";
  const double rate = mbit(edge.rate());
  const std::string figure = rate < 100 ? fmt::format("{:.1f}", rate) : fmt::format("{:.0f}", rate);
  if (edge.stale) return "*" + figure;
  return edge.way.steady ? figure : "~" + figure;
}

std::string round_trip_cell(const MatrixEdge& edge) {
  if (edge.round_trips.median.count() == 0) return edge.failed.empty() ? "?" : "failed";
  const double ms = std::chrono::duration<double, std::milli>(edge.round_trips.median).count();
  return fmt::format("{}{:.1f}", edge.stale ? "*" : "", ms);
}

std::string grid(const LinkMatrix& matrix, const std::string& corner,
                 const std::function<std::string(const MatrixEdge&)>& cell) {
  std::size_t first = corner.size();
  for (const auto& host : matrix.hosts) first = std::max(first, host.name.size());
  std::string text = fmt::format("{:<{}}", corner, first);
  for (const auto& host : matrix.hosts) {
    text += fmt::format("  {:>{}}", host.name, std::max(kLeastColumn, host.name.size()));
  }
  text += '\n';
  for (std::size_t from = 0; from < matrix.hosts.size(); ++from) {
    text += fmt::format("{:<{}}", matrix.hosts[from].name, first);
    for (std::size_t to = 0; to < matrix.hosts.size(); ++to) {
      const MatrixEdge* edge = matrix.edge(from, to);
      const std::string figure = edge == nullptr ? "-" : cell(*edge);
      const std::size_t width = std::max(kLeastColumn, matrix.hosts[to].name.size());
      text += fmt::format("  {:>{}}", figure, width);
    }
    text += '\n';
  }
  return text;
}

std::string capacity_text(const std::optional<double>& bytes_per_s) {
  return bytes_per_s ? fmt::format("{:.1f} Mbit/s", mbit(*bytes_per_s)) : "not known";
}

std::string hosts_text(const LinkMatrix& matrix) {
  std::string text;
  for (std::size_t i = 0; i < matrix.hosts.size(); ++i) {
    const auto& host = matrix.hosts[i];
    if (!host.failed.empty()) {
      text += fmt::format("{}: failed: {}\n", host.name, host.failed);
      continue;
    }
    text += fmt::format("{}: sends {} and gets {} in all\n", host.name,
                        capacity_text(capacity_of(matrix, i, probe::Direction::out)),
                        capacity_text(capacity_of(matrix, i, probe::Direction::in)));
  }
  return text;
}

// A reason once, with whom it concerns; not that of a host, which is said already.
std::string failures_text(const LinkMatrix& matrix) {
  std::map<std::string, std::vector<std::string>> reasons;
  std::string text;
  for (const auto& [key, edge] : matrix.edges) {
    const auto& from = matrix.hosts[key.first];
    const auto& to = matrix.hosts[key.second];
    const std::string way = fmt::format("{} to {}", from.name, to.name);
    if (edge.stale) {
      text += fmt::format("{}: stale, measured at {}\n", way,
                          net::to_string(std::chrono::floor<std::chrono::seconds>(edge.at)));
    }
    if (edge.failed.empty() || !from.failed.empty() || !to.failed.empty()) continue;
    reasons[edge.failed].push_back(way);
  }
  for (const auto& [reason, ways] : reasons) {
    text += fmt::format("{}: failed: {}\n", fmt::join(ways, ", "), reason);
  }
  return text;
}

}  // namespace

std::string to_table(const LinkMatrix& matrix) {
  return grid(matrix, "Mbit/s", rate_cell) + "\n" + grid(matrix, "ms", round_trip_cell) + "\n" +
         hosts_text(matrix) + failures_text(matrix);
}

}  // namespace ptrain::probe_tool
