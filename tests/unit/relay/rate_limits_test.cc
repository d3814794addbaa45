#include "tools/relay/control/rate_limits.h"

#include <gtest/gtest.h>

#include "tests/unit/relay/run_of_members.h"

namespace ptrain::relay {
namespace {

using namespace std::chrono_literals;

bool passes(const Toll& toll) { return std::holds_alternative<Pass>(toll); }

struct RateLimitsTest : testing::Test {
  Toll stranger(const std::string& address, double cost = 1) {
    return limits.charge(key_of(1), address, Standing::stranger, cost, now);
  }
  Toll member(std::uint8_t key, double cost = 1) {
    return limits.charge(key_of(key), "h", Standing::member, cost, now);
  }
  TimePoint now{};
  RateLimits limits{now, 100};
};

TEST_F(RateLimitsTest, ABurstPassesAndOneMoreWaits) {
  for (int i = 0; i < static_cast<int>(kMemberRule.burst); ++i) ASSERT_TRUE(passes(member(1))) << i;
  const Toll toll = member(1);
  ASSERT_TRUE(std::holds_alternative<Wait>(toll));
  EXPECT_EQ(std::get<Wait>(toll).retry, 20ms);
  now += 60ms;  // the refused one was taken from the bucket as well
  EXPECT_TRUE(passes(member(1)));
}

TEST_F(RateLimitsTest, WhoGoesOnIsNoLongerAnswered) {
  while (!std::holds_alternative<Ignore>(member(1))) {
  }
  now += 1min;
  EXPECT_TRUE(passes(member(1)));
}

TEST_F(RateLimitsTest, AFloodFromOneAddressLeavesTheOthersAlone) {
  while (passes(stranger("x"))) {
  }
  EXPECT_FALSE(passes(stranger("x")));
  EXPECT_TRUE(passes(stranger("y")));
}

TEST_F(RateLimitsTest, AFloodFromEverywhereLeavesMembersAndEachAddressItsShare) {
  for (int host = 0; host < 50; ++host) {
    for (int i = 0; i < 1000; ++i) stranger(std::to_string(host));
  }
  for (int i = 0; i < kAddressShare.burst; ++i) EXPECT_TRUE(passes(stranger("new"))) << i;
  EXPECT_FALSE(passes(stranger("new")));
  EXPECT_TRUE(passes(member(1)));
  now += 50ms;
  EXPECT_TRUE(passes(stranger("new")));
}

TEST_F(RateLimitsTest, TheTableOfBucketsIsBoundedAndMakesRoom) {
  for (int host = 0; host < 100; ++host) ASSERT_TRUE(passes(stranger(std::to_string(host))));
  EXPECT_TRUE(std::holds_alternative<Ignore>(stranger("one more")));
  EXPECT_EQ(limits.buckets(), 100u);
  now += 2s;  // by now those are full again, and forgotten
  EXPECT_TRUE(passes(stranger("one more")));
  EXPECT_EQ(limits.buckets(), 1u);
}

TEST(RateLimits, ANeighbourHasABucketOfItsOwnAndIsHeldToIt) {
  RateLimits limits(TimePoint{});
  const net::PublicKey neighbour = key_of(50);
  int passed = 0;
  while (std::holds_alternative<Pass>(
      limits.charge(neighbour, "h", Standing::neighbour, 5, TimePoint{}))) {
    ASSERT_LE(++passed, 10000);
  }
  EXPECT_EQ(passed, static_cast<int>(kNeighbourRule.burst / 5));
  EXPECT_TRUE(std::holds_alternative<Pass>(
      limits.charge(neighbour, "h", Standing::member, 1, TimePoint{})));
  EXPECT_TRUE(std::holds_alternative<Pass>(
      limits.charge(key_of(51), "h", Standing::neighbour, 5, TimePoint{})));
}

}  // namespace
}  // namespace ptrain::relay
