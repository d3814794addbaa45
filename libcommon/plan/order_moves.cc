#include "libcommon/plan/order_moves.h"

#include <algorithm>
#include <iterator>
#include <random>
#include <utility>

namespace ptrain::plan {
namespace {

using Hosts = std::vector<std::uint32_t>;

enum class Move { swap, shift, turn, leave, join, replace };
constexpr Move kMoves[] = {Move::swap,  Move::shift, Move::turn,
                           Move::leave, Move::join,  Move::replace};
// With more changes than these a round is a sample of as many.
constexpr std::size_t kMostTries = 600;
// Half of the sampled newcomers are among so many of the best.
constexpr std::size_t kBest = 48;

struct Change {
  Move move;
  std::size_t at;
  std::size_t other;  // a place, or one of those that may join
};

std::size_t others_of(Move move, std::size_t places, std::size_t newcomers) {
  switch (move) {
    case Move::swap:
    case Move::shift:
    case Move::turn:
      return places;
    case Move::leave:
      return 1;
    case Move::join:
    case Move::replace:
      return newcomers;
  }
  return 0;
}

Hosts changed(const Hosts& hosts, const Change& change, const Hosts& newcomers) {
  Hosts result = hosts;
  const auto at = result.begin() + static_cast<std::ptrdiff_t>(change.at);
  switch (change.move) {
    case Move::swap:
      std::swap(result[change.at], result[change.other]);
      break;
    case Move::shift: {
      const std::uint32_t host = *at;
      result.erase(at);
      result.insert(result.begin() + static_cast<std::ptrdiff_t>(change.other), host);
      break;
    }
    case Move::turn: {
      const auto other = result.begin() + static_cast<std::ptrdiff_t>(change.other);
      std::reverse(std::min(at, other), std::max(at, other) + 1);
      break;
    }
    case Move::leave:
      result.erase(at);
      break;
    case Move::join:
      result.insert(at, newcomers[change.other]);
      break;
    case Move::replace:
      *at = newcomers[change.other];
      break;
  }
  return result;
}

std::vector<Change> all_changes(std::size_t places, std::size_t newcomers) {
  std::vector<Change> changes;
  for (const Move move : kMoves) {
    // A newcomer may stand behind the last one, too.
    const std::size_t at_most = move == Move::join ? places + 1 : places;
    for (std::size_t at = 0; at < at_most; ++at) {
      for (std::size_t other = 0; other < others_of(move, places, newcomers); ++other) {
        changes.push_back({move, at, other});
      }
    }
  }
  return changes;
}

std::vector<Change> sampled_changes(std::size_t places, std::size_t newcomers,
                                    std::mt19937_64& random) {
  std::vector<Change> changes;
  while (changes.size() < kMostTries) {
    const Move move = kMoves[random() % std::size(kMoves)];
    const std::size_t others = others_of(move, places, newcomers);
    if (others == 0) continue;
    const bool from_best = (move == Move::join || move == Move::replace) && random() % 2 == 0;
    changes.push_back({move, random() % (move == Move::join ? places + 1 : places),
                       random() % (from_best ? std::min(others, kBest) : others)});
  }
  return changes;
}

}  // namespace

void improve_order(Hosts hosts, double step_s, const Hosts& all, std::size_t most,
                   const OrderJudge& judge, const std::function<bool()>& goes_on) {
  std::mt19937_64 random(hosts.size());
  for (bool better = true; better;) {
    better = false;
    Hosts newcomers;
    for (const std::uint32_t host : all) {
      if (std::find(hosts.begin(), hosts.end(), host) == hosts.end()) newcomers.push_back(host);
    }
    const std::size_t places = hosts.size();
    const std::size_t possible = places * (3 * places + 1 + 2 * newcomers.size());
    const std::vector<Change> changes = possible <= kMostTries
                                            ? all_changes(places, newcomers.size())
                                            : sampled_changes(places, newcomers.size(), random);
    for (const Change& change : changes) {
      if (!goes_on()) return;
      Hosts other = changed(hosts, change, newcomers);
      if (other == hosts || other.empty() || other.size() > most) continue;
      const double other_s = judge(other);
      if (other_s >= step_s) continue;
      hosts = std::move(other);
      step_s = other_s;
      better = true;
      break;
    }
  }
}

}  // namespace ptrain::plan
