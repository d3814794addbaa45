// Which tests of a matrix begin when: never two that share a host, each once, and a lost host costs
// its own only.

#include "libcommon/probe/matrix_schedule.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <numeric>
#include <random>
#include <set>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

namespace ptrain::probe {
namespace {

std::vector<std::uint32_t> hosts_of_their_own(std::size_t peers) {
  std::vector<std::uint32_t> hosts(peers);
  std::iota(hosts.begin(), hosts.end(), 0u);
  return hosts;
}

// Runs it, with tests that end in an order drawn by the seed.
std::set<Pair> run(MatrixSchedule schedule, const std::vector<std::uint32_t>& hosts,
                   unsigned seed) {
  std::mt19937 random(seed);
  std::set<Pair> seen;
  std::vector<Pair> running;
  while (schedule.left() > 0) {
    for (const Pair& pair : schedule.due()) {
      for (const Pair& other : running) {
        const std::set<std::uint32_t> four{hosts[pair.first], hosts[pair.second],
                                           hosts[other.first], hosts[other.second]};
        const std::size_t each = hosts[pair.first] == hosts[pair.second] ? 1 : 2;
        const std::size_t that = hosts[other.first] == hosts[other.second] ? 1 : 2;
        EXPECT_EQ(four.size(), each + that) << "two tests share a host";
      }
      EXPECT_TRUE(seen.insert(pair).second) << "twice";
      running.push_back(pair);
    }
    if (running.empty()) {
      ADD_FAILURE() << "nothing begins, and " << schedule.left() << " are left";
      break;
    }
    std::swap(running[random() % running.size()], running.back());
    schedule.done(running.back());
    running.pop_back();
  }
  return seen;
}

TEST(MatrixSchedule, EveryPairHasItsTestWhateverTheOrderInWhichTheyEnd) {
  for (unsigned seed = 0; seed < 50; ++seed) {
    for (const std::size_t peers : {2u, 3u, 7u, 16u}) {
      const auto hosts = hosts_of_their_own(peers);
      EXPECT_EQ(run(MatrixSchedule(hosts), hosts, seed).size(), peers * (peers - 1) / 2);
    }
    const std::vector<std::uint32_t> shared{0, 1, 0, 2, 1, 3, 3, 3};
    EXPECT_EQ(run(MatrixSchedule(shared), shared, seed).size(), 28u);
  }
}

TEST(MatrixSchedule, TheFirstRoundHasEveryHostAtWork) {
  const auto hosts = hosts_of_their_own(16);
  MatrixSchedule schedule(hosts);
  EXPECT_EQ(schedule.rounds(), 15u);
  EXPECT_EQ(schedule.due().size(), 8u);
  EXPECT_TRUE(schedule.due().empty());
}

TEST(MatrixSchedule, AHostThatIsLostCostsItsOwnTestsOnly) {
  const auto hosts = hosts_of_their_own(6);
  MatrixSchedule schedule(hosts);
  const auto first = schedule.due();
  const auto dropped = schedule.drop(2);
  const auto with_it = [](const Pair& pair) { return pair.first == 2 || pair.second == 2; };
  EXPECT_EQ(dropped.size(), 4u);  // of five: one is under way
  EXPECT_TRUE(std::ranges::all_of(dropped, with_it));
  for (const Pair& pair : first) schedule.done(pair);
  const auto seen = run(schedule, hosts, 1);
  EXPECT_EQ(seen.size() + first.size() + dropped.size(), 15u);
  EXPECT_TRUE(std::ranges::none_of(seen, with_it));
}

}  // namespace
}  // namespace ptrain::probe
