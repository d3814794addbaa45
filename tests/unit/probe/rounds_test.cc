// The rounds of a matrix: every pair once, no host twice in a round, and few rounds.

#include "libcommon/probe/rounds.h"

#include <numeric>
#include <random>
#include <set>

#include <gtest/gtest.h>

namespace ptrain::probe {
namespace {

void expect_every_pair_once(const std::vector<std::uint32_t>& hosts) {
  std::set<Pair> pairs;
  for (const Round& round : rounds_of(hosts)) {
    EXPECT_FALSE(round.empty());
    std::set<std::uint32_t> taken;
    for (const auto& [a, b] : round) {
      ASSERT_LT(a, b);
      ASSERT_LT(b, hosts.size());
      EXPECT_TRUE(pairs.insert({a, b}).second) << a << " and " << b << " twice";
      EXPECT_TRUE(taken.insert(hosts[a]).second) << "host " << hosts[a] << " twice in a round";
      if (hosts[a] != hosts[b]) {
        EXPECT_TRUE(taken.insert(hosts[b]).second) << "host " << hosts[b] << " twice in a round";
      }
    }
  }
  EXPECT_EQ(pairs.size(), hosts.size() * (hosts.size() - 1) / 2);
}

std::vector<std::uint32_t> alone(std::size_t peers) {
  std::vector<std::uint32_t> hosts(peers);
  std::iota(hosts.begin(), hosts.end(), 0u);
  return hosts;
}

TEST(Rounds, OfPeersOnHostsOfTheirOwnAreAsFewAsThereCanBe) {
  for (std::size_t peers = 2; peers <= 33; ++peers) {
    expect_every_pair_once(alone(peers));
    EXPECT_EQ(rounds_of(alone(peers)).size(), peers % 2 == 0 ? peers - 1 : peers) << peers;
  }
}

TEST(Rounds, OfPeersThatShareHostsTakeEveryPairOnce) {
  std::mt19937 random(3);
  for (int i = 0; i < 50; ++i) {
    std::vector<std::uint32_t> hosts(2 + random() % 15);
    for (auto& host : hosts) host = static_cast<std::uint32_t>(random() % 6);
    expect_every_pair_once(hosts);
  }
}

TEST(Rounds, OfPeersThatShareHostsAreNotManyMoreThanTheBusiestHostNeeds) {
  // Four hosts with two peers each: each host has 2 x 6 tests with others and one of its own.
  EXPECT_LE(rounds_of({0, 0, 1, 1, 2, 2, 3, 3}).size(), 2u * 13 - 1);
}

TEST(Rounds, OfOnePeerThereAreNone) {
  EXPECT_TRUE(rounds_of({}).empty());
  EXPECT_TRUE(rounds_of({7}).empty());
}

}  // namespace
}  // namespace ptrain::probe
