#include "libcommon/reduce/chunking.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include <fmt/format.h>

#include "libcommon/base/error.h"
#include "libcommon/reduce/lane_tree.h"

namespace ptrain::reduce {
namespace {

constexpr int kBisections = 200;  // doubles are exhausted by then

// The shares that a time allows a member; none where low > high.
struct Limits {
  double low = 0;
  double high = 1;
};

// Narrows the limits to where fixed + slope x share <= budget.
void narrow(Limits& limits, double fixed, double slope, double budget) {
  if (slope > 0) {
    limits.high = std::min(limits.high, (budget - fixed) / slope);
  } else if (slope < 0) {
    limits.low = std::max(limits.low, (fixed - budget) / -slope);
  } else if (fixed > budget) {
    limits.high = -1;
  }
}

std::vector<Limits> limits_of(std::span<const MemberLine> lines, double subtotals,
                              double s_per_byte) {
  const double others = static_cast<double>(lines.size()) - 1;
  std::vector<Limits> all(lines.size());
  for (std::size_t i = 0; i < lines.size(); ++i) {
    const double own = lines[i].subtotals;
    narrow(all[i], own, others - own, s_per_byte * lines[i].up_bytes_per_s);
    narrow(all[i], 1, subtotals - own - 1, s_per_byte * lines[i].down_bytes_per_s);
  }
  return all;
}

bool feasible(const std::vector<Limits>& all) {
  double low = 0;
  double high = 0;
  for (const Limits& limits : all) {
    if (limits.low > limits.high) return false;
    low += limits.low;
    high += limits.high;
  }
  return low <= 1 && high >= 1;
}

void check(std::span<const MemberLine> lines) {
  if (lines.empty() || lines.size() > kMaxMembers) {
    throw Error(ErrorKind::usage, fmt::format("{} members of a sum; 1 to {} are possible",
                                              lines.size(), kMaxMembers));
  }
  for (std::size_t i = 0; i < lines.size(); ++i) {
    for (const double rate : {lines[i].up_bytes_per_s, lines[i].down_bytes_per_s}) {
      if (std::isfinite(rate) && rate > 0) continue;
      throw Error(
          ErrorKind::usage,
          fmt::format("the line of member {} carries {} bytes/s; more than 0 expected", i, rate));
    }
    if (lines[i].subtotals >= 1 && lines[i].subtotals <= kMaxLanes) continue;
    throw Error(ErrorKind::usage, fmt::format("member {} sends {} subtotals; 1 to {} are possible",
                                              i, lines[i].subtotals, kMaxLanes));
  }
}

}  // namespace

BestSplit best_split(std::span<const MemberLine> lines) {
  check(lines);
  if (lines.size() == 1) return {.shares = {1.0}, .s_per_byte = 0};
  double subtotals = 0;
  double slowest = std::numeric_limits<double>::infinity();
  for (const MemberLine& line : lines) {
    subtotals += line.subtotals;
    slowest = std::min({slowest, line.up_bytes_per_s, line.down_bytes_per_s});
  }
  // With every share between 0 and 1, no line carries more than this many vectors.
  const double most = std::max(subtotals, static_cast<double>(lines.size()));
  double too_short = 0;
  double enough = 2 * most / slowest;
  for (int i = 0; i < kBisections; ++i) {
    const double middle = too_short + (enough - too_short) / 2;
    (feasible(limits_of(lines, subtotals, middle)) ? enough : too_short) = middle;
  }

  const std::vector<Limits> all = limits_of(lines, subtotals, enough);
  double low = 0;
  double room = 0;
  for (const Limits& limits : all) {
    low += limits.low;
    room += limits.high - limits.low;
  }
  BestSplit best{.shares = {}, .s_per_byte = enough};
  for (const Limits& limits : all) {
    const double free = room > 0 ? (1 - low) * ((limits.high - limits.low) / room) : 0;
    best.shares.push_back(limits.low + free);
  }
  return best;
}

std::vector<ElementRange> cut(std::uint64_t elements, std::span<const double> shares) {
  if (elements > kMaxElements) {
    throw Error(ErrorKind::usage, fmt::format("a vector of {} elements; at most {} are possible",
                                              elements, kMaxElements));
  }
  if (shares.empty() || shares.size() > kMaxMembers) {
    throw Error(ErrorKind::usage, fmt::format("{} shares of a vector; 1 to {} are possible",
                                              shares.size(), kMaxMembers));
  }
  for (std::size_t i = 0; i < shares.size(); ++i) {
    if (std::isfinite(shares[i]) && shares[i] >= 0) continue;
    throw Error(ErrorKind::usage,
                fmt::format("share {} of member {}; 0 or more expected", shares[i], i));
  }
  const double all = std::accumulate(shares.begin(), shares.end(), 0.0);
  if (!(all > 0) || !std::isfinite(all)) {
    throw Error(ErrorKind::usage, fmt::format("shares of a vector whose sum is {}", all));
  }

  const std::uint64_t blocks = (elements + kBlockElements - 1) / kBlockElements;
  std::vector<ElementRange> chunks;
  double taken = 0;
  std::uint64_t begin = 0;
  for (std::size_t i = 0; i < shares.size(); ++i) {
    taken += shares[i];
    const auto edge = static_cast<std::uint64_t>(
        std::nearbyint(static_cast<double>(blocks) * std::min(taken / all, 1.0)));
    const std::uint64_t end =
        i + 1 == shares.size() ? elements : std::min(edge * kBlockElements, elements);
    chunks.push_back({.first = begin, .count = end - begin});
    begin = end;
  }
  return chunks;
}

}  // namespace ptrain::reduce
