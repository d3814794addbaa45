#include "tests/crash/outcomes.h"

#include <set>

namespace ptrain::crash {
namespace {

using Outcome = std::vector<std::size_t>;

bool few(std::span<const std::size_t> options) {
  std::size_t product = 1;
  for (const std::size_t count : options) {
    product *= count;
    if (product > kMostExhaustive) return false;
  }
  return true;
}

std::vector<Outcome> all(std::span<const std::size_t> options) {
  std::vector<Outcome> found{Outcome(options.size(), 0)};
  while (true) {  // counts up, the first change fastest
    Outcome next = found.back();
    std::size_t i = 0;
    while (i < options.size() && ++next[i] == options[i]) next[i++] = 0;
    if (i == options.size()) return found;
    found.push_back(std::move(next));
  }
}

}  // namespace

std::vector<Outcome> outcomes(std::span<const std::size_t> options, std::mt19937_64& random) {
  if (few(options)) return all(options);
  const Outcome nothing(options.size(), 0);
  Outcome everything;
  for (const std::size_t count : options) everything.push_back(count - 1);

  std::set<Outcome> found{nothing, everything};
  Outcome in_order = nothing;
  for (std::size_t i = 0; i < options.size(); ++i) {
    for (std::size_t option = 0; option < options[i]; ++option) {
      for (Outcome one : {nothing, everything, in_order}) {
        one[i] = option;
        found.insert(std::move(one));
      }
    }
    in_order[i] = everything[i];
  }
  for (std::size_t i = 0; i < kRandomCombinations; ++i) {
    Outcome one;
    for (const std::size_t count : options) one.push_back(random() % count);
    found.insert(std::move(one));
  }
  return {found.begin(), found.end()};
}

}  // namespace ptrain::crash
