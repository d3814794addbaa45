#include "libcommon/probe/rounds.h"

#include <algorithm>
#include <map>
#include <set>

namespace ptrain::probe {
namespace {

// One stays in its place, the others move on by one each round; a bye makes an odd number even.
std::vector<Round> circle(std::size_t peers) {
  const std::size_t seats = peers + peers % 2;
  std::vector<Round> rounds;
  for (std::size_t turn = 0; turn + 1 < seats; ++turn) {
    Round round;
    for (std::size_t i = 0; i < seats / 2; ++i) {
      const std::size_t moving = seats - 1;
      const std::size_t left = i == 0 ? moving : (turn + i) % moving;
      const std::size_t right = (turn + moving - i) % moving;
      if (left >= peers || right >= peers) continue;
      round.emplace_back(std::min(left, right), std::max(left, right));
    }
    rounds.push_back(std::move(round));
  }
  return rounds;
}

std::vector<Round> greedy(const std::vector<std::uint32_t>& hosts) {
  std::vector<Pair> left;
  std::map<std::uint32_t, std::size_t> tests;  // still to be done, of each host
  for (std::size_t a = 0; a < hosts.size(); ++a) {
    for (std::size_t b = a + 1; b < hosts.size(); ++b) {
      left.emplace_back(a, b);
      ++tests[hosts[a]];
      ++tests[hosts[b]];
    }
  }
  const auto busier = [&](const Pair& one, const Pair& other) {
    const auto load = [&](const Pair& pair) {
      return std::max(tests[hosts[pair.first]], tests[hosts[pair.second]]);
    };
    return load(one) > load(other);
  };
  std::vector<Round> rounds;
  while (!left.empty()) {
    std::stable_sort(left.begin(), left.end(), busier);
    Round round;
    std::set<std::uint32_t> taken;
    std::erase_if(left, [&](const Pair& pair) {
      const std::uint32_t a = hosts[pair.first];
      const std::uint32_t b = hosts[pair.second];
      if (taken.contains(a) || taken.contains(b)) return false;
      taken.insert({a, b});
      --tests[a];
      --tests[b];
      round.push_back(pair);
      return true;
    });
    rounds.push_back(std::move(round));
  }
  return rounds;
}

}  // namespace

std::vector<Round> rounds_of(const std::vector<std::uint32_t>& hosts) {
  if (hosts.size() < 2) return {};
  const std::set<std::uint32_t> distinct(hosts.begin(), hosts.end());
  return distinct.size() == hosts.size() ? circle(hosts.size()) : greedy(hosts);
}

}  // namespace ptrain::probe
