#include "tools/relay/control/claims.h"

#include <gtest/gtest.h>

#include "tests/unit/relay/run_of_members.h"

namespace ptrain::relay {
namespace {

using namespace std::chrono_literals;

struct ClaimsTest : testing::Test {
  net::answer::Claimed claim(std::uint8_t peer, std::uint64_t number, std::uint32_t hold_ms = 5000,
                             const std::string& name = "driver") {
    return claims
        .claim({.as = run.as("a"), .name = name, .number = number, .hold_ms = hold_ms}, place(peer),
               30s, now)
        .value();
  }
  static net::Place place(std::uint8_t peer) { return {.peer_key = key_of(peer), .role = "a"}; }

  TimePoint now{};
  TestRun run{1};
  Claims claims{8};
};

TEST_F(ClaimsTest, OneHasItUntilItsTimeIsOver) {
  EXPECT_TRUE(claim(1, 1).granted);
  const auto refused = claim(2, 2);
  EXPECT_FALSE(refused.granted);
  EXPECT_EQ(refused.holder, place(1));
  EXPECT_EQ(refused.number, 1u);
  EXPECT_EQ(refused.hold_ms, 5000u);
  now += 5s;
  EXPECT_TRUE(claim(2, 2).granted);
}

TEST_F(ClaimsTest, ItsHolderProlongsItUnderItsNumber) {
  claim(1, 1);
  now += 4s;
  EXPECT_TRUE(claim(1, 1).granted);
  now += 4s;
  EXPECT_FALSE(claim(2, 2).granted);
  now += 1s;
  EXPECT_FALSE(claim(1, 1).granted) << "another might have had it meanwhile";
}

TEST_F(ClaimsTest, NoNumberIsGrantedTwiceOrAfterALargerOne) {
  claim(1, 7);
  now += 5s;
  EXPECT_FALSE(claim(2, 7).granted);
  EXPECT_FALSE(claim(2, 6).granted);
  EXPECT_EQ(claim(2, 6).number, 7u);
  EXPECT_TRUE(claim(2, 8).granted);
}

TEST_F(ClaimsTest, GivenBackIsFreeAtOnce) {
  claim(1, 1);
  EXPECT_TRUE(claim(1, 1, 0).granted);
  EXPECT_TRUE(claim(2, 2).granted);
  claims.release(run.key(), place(2));
  EXPECT_TRUE(claim(3, 3).granted) << "who has left holds nothing";
}

TEST_F(ClaimsTest, NoneHoldsLongerThanALease) { EXPECT_EQ(claim(1, 1, 3'600'000).hold_ms, 30000u); }

TEST_F(ClaimsTest, NumbersOutliveARestart) {
  claim(1, 7);
  Claims again;
  claims.for_each([&](const VerifyKey& run_key, const std::string& name, std::uint64_t number) {
    again.restore(run_key, name, number);
  });
  const auto asked = [&](std::uint64_t number) {
    return again.claim({.as = run.as("a"), .name = "driver", .number = number, .hold_ms = 1000},
                       place(2), 30s, now);
  };
  EXPECT_FALSE(asked(7)->granted);
  EXPECT_TRUE(asked(8)->granted);
}

TEST_F(ClaimsTest, ARunHasFewAndAllTogetherAreBounded) {
  for (const char* name : {"a", "b", "c", "d"}) EXPECT_TRUE(claim(1, 1, 5000, name).granted);
  const net::request::Claim another{.as = run.as("a"), .name = "e", .number = 1, .hold_ms = 5000};
  EXPECT_FALSE(claims.claim(another, place(1), 30s, now));
  for (std::uint8_t other = 2; other <= 3; ++other) {
    for (const char* name : {"a", "b", "c", "d"}) {
      const net::request::Claim theirs{
          .as = TestRun(other).as("a"), .name = name, .number = 1, .hold_ms = 5000};
      EXPECT_EQ(claims.claim(theirs, place(1), 30s, now).has_value(), other == 2);
    }
  }
  // Those that nobody holds make room.
  now += 5s;
  const net::request::Claim late{
      .as = TestRun(3).as("a"), .name = "a", .number = 1, .hold_ms = 5000};
  EXPECT_TRUE(claims.claim(late, place(1), 30s, now));
  EXPECT_EQ(claims.size(), 8u);
}

}  // namespace
}  // namespace ptrain::relay
