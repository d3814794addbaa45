#include "tools/relay/control/claims.h"

#include <chrono>
#include <cstdint>
#include <string>
#include <variant>
#include <vector>

#include <gtest/gtest.h>

#include "tests/unit/relay/run_of_members.h"

namespace ptrain::relay {
namespace {

using namespace std::chrono_literals;

constexpr std::uint64_t kDayMs = 24 * 3600 * 1000;

struct ClaimsTest : testing::Test {
  static net::Place place(std::uint8_t peer) { return {.peer_key = key_of(peer), .role = "a"}; }
  static Claimant from(std::uint8_t peer) {
    return {.who = place(peer), .address = "192.0.2." + std::to_string(peer)};
  }
  net::request::Claim wish(std::uint64_t number, std::uint32_t hold_ms = 5000,
                           const std::string& name = "driver", std::uint8_t run_number = 1) const {
    return {.as = TestRun(run_number).as("a"), .name = name, .number = number, .hold_ms = hold_ms};
  }
  net::answer::Claimed claim(std::uint8_t peer, std::uint64_t number, std::uint32_t hold_ms = 5000,
                             const std::string& name = "driver") {
    return std::get<net::answer::Claimed>(
        claims.claim(wish(number, hold_ms, name), from(peer), 30s, now));
  }
  // What becomes of a claim of a run of its own.
  bool has_room(std::uint8_t run_number, const std::string& name, const Claimant& by) {
    return std::holds_alternative<net::answer::Claimed>(
        claims.claim(wish(0, 5000, name, run_number), by, 30s, now));
  }

  TimePoint now{1h};
  TestRun run{1};
  Claims claims{{.claims = 8}};
};

TEST_F(ClaimsTest, OneHasItUntilItsTimeIsOver) {
  EXPECT_TRUE(claim(1, 1).granted);
  const auto refused = claim(2, 2);
  EXPECT_FALSE(refused.granted);
  EXPECT_EQ(refused.holder, place(1));
  EXPECT_EQ(refused.number, 1u);
  EXPECT_EQ(refused.hold_ms, 5000u);
  now += 5s - 1ns;
  EXPECT_FALSE(claim(2, 2).granted);
  now += 1ns;
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

TEST_F(ClaimsTest, WhoNamesNoNumberHasTheNextOneAndKeepsIt) {
  EXPECT_EQ(claim(1, 0).number, 1u);
  now += 4s;
  EXPECT_EQ(claim(1, 0).number, 1u) << "prolonged";
  now += 4s;
  EXPECT_EQ(claim(2, 0).number, 1u) << "refused, and told so";
  now += 1s;
  EXPECT_EQ(claim(2, 0).number, 2u);
  now += 5s;
  EXPECT_EQ(claim(2, 0).number, 3u) << "another might have had it meanwhile";
}

TEST_F(ClaimsTest, GivenBackIsFreeAtOnce) {
  claim(1, 1);
  EXPECT_TRUE(claim(1, 1, 0).granted);
  EXPECT_FALSE(claim(1, 0, 0).granted) << "there is nothing to give back";
  EXPECT_EQ(claim(2, 0).number, 2u);
  claims.release(run.key(), place(1));
  EXPECT_FALSE(claim(3, 0).granted) << "who has left held nothing";
  claims.release(run.key(), place(2));
  EXPECT_TRUE(claim(3, 0).granted) << "who has left holds nothing";
}

TEST_F(ClaimsTest, NoneHoldsLongerThanALease) { EXPECT_EQ(claim(1, 1, 3'600'000).hold_ms, 30000u); }

TEST_F(ClaimsTest, NumbersBeginWhereNoEarlierProcessHasBeen) {
  constexpr std::uint64_t kFloor = 1'700'000'000'000;
  claims.begin(kFloor, now, now);
  const auto refused = claim(1, kFloor);
  EXPECT_FALSE(refused.granted);
  EXPECT_EQ(refused.number, kFloor);
  EXPECT_TRUE(refused.holder.role.empty());
  EXPECT_EQ(refused.hold_ms, 0u);
  EXPECT_TRUE(claim(1, kFloor + 1).granted);
  // A later process begins above what this one can have granted, whatever was saved of it.
  now += 1s;
  EXPECT_GE(claims.floor_at(now), kFloor + 1000);
}

TEST_F(ClaimsTest, NoNumberIsMoreThanADayAhead) {
  constexpr std::uint64_t kFloor = 1'700'000'000'000;
  claims.begin(kFloor, now, now);
  EXPECT_EQ(std::get<ClaimFlaw>(claims.claim(wish(kFloor + kDayMs + 1), from(1), 30s, now)),
            ClaimFlaw::ahead);
  EXPECT_TRUE(claim(1, kFloor + kDayMs).granted);
  now += 5s;
  EXPECT_TRUE(claim(2, 0).granted) << "there are numbers left for others";
}

TEST_F(ClaimsTest, AfterAProcessThatWasKilledNothingNewIsGrantedUntilItsClaimsAreOver) {
  claims.begin(100, now + 30s, now);
  claims.restore(run.key(), "known",
                 {.number = 7, .holder = place(1), .address = "h", .until = now + 20s});
  EXPECT_TRUE(claim(1, 7, 5000, "known").granted) << "its holder goes on";
  const auto refused = claim(2, 0);
  EXPECT_FALSE(refused.granted);
  EXPECT_TRUE(refused.holder.role.empty());
  EXPECT_EQ(refused.hold_ms, 30000u);
  now += 30s;
  EXPECT_EQ(claim(2, 0).number, 101u);
  EXPECT_EQ(claim(2, 0, 5000, "known").number, 101u);
}

TEST_F(ClaimsTest, WhatIsHeldOutlivesARestart) {
  claim(1, 7);
  now += 1s;
  Claims again;
  again.begin(5, now, now);
  claims.for_each([&](const VerifyKey& run_key, const std::string& name, const Claims::Held& held) {
    again.restore(run_key, name, held);
  });
  const auto asked = [&](std::uint8_t peer, std::uint64_t number) {
    return std::get<net::answer::Claimed>(again.claim(wish(number), from(peer), 30s, now));
  };
  EXPECT_EQ(asked(2, 8).holder, place(1));
  EXPECT_EQ(asked(2, 8).hold_ms, 4000u);
  EXPECT_TRUE(asked(1, 7).granted);
  now += 5s;
  EXPECT_FALSE(asked(2, 7).granted);
  EXPECT_TRUE(asked(2, 8).granted);
}

TEST_F(ClaimsTest, ARunHasFewNamesAndOneThatNobodyHoldsGivesWay) {
  for (const char* name : {"a", "b", "c", "d"}) EXPECT_TRUE(claim(1, 0, 5000, name).granted);
  EXPECT_FALSE(has_room(1, "e", from(1)));
  now += 5s;
  claim(1, 0, 5000, "b");
  EXPECT_TRUE(has_room(1, "e", from(1)));
  EXPECT_EQ(claims.size(), 4u);
  EXPECT_EQ(claim(2, 0, 5000, "b").holder, place(1)) << "it was held";
}

TEST_F(ClaimsTest, AForgottenNameDoesNotBeginAnew) {
  claims.begin(1000, now, now);
  EXPECT_EQ(claim(1, 0, 5000, "a").number, 1001u);
  now += 1min;
  for (const char* name : {"b", "c", "d", "e"}) claim(1, 0, 5000, name);
  now += 1min;
  const auto told = claim(2, 1002, 5000, "a");
  EXPECT_FALSE(told.granted) << "it may have been granted before";
  EXPECT_GE(told.number, 61000u);
  EXPECT_TRUE(claim(2, told.number + 1, 5000, "a").granted) << "what it was told holds";
}

TEST_F(ClaimsTest, OneKeyHoldsSoManyWhateverItsRuns) {
  Claims roomy({.of_key = 3});
  const auto granted = [&](std::uint8_t run_number) {
    const auto outcome = roomy.claim(wish(0, 5000, "driver", run_number), from(1), 30s, now);
    const auto* claimed = std::get_if<net::answer::Claimed>(&outcome);
    return claimed != nullptr && claimed->granted;
  };
  for (std::uint8_t i = 1; i <= 3; ++i) EXPECT_TRUE(granted(i));
  EXPECT_FALSE(granted(4));
  EXPECT_TRUE(granted(3)) << "what it holds it prolongs";
  now += 5s;
  EXPECT_TRUE(granted(4));
}

TEST_F(ClaimsTest, NoAddressTakesTheRoomOfOthers) {
  // One address fills the table, with two runs of four names.
  for (const std::uint8_t mine : {std::uint8_t{10}, std::uint8_t{11}}) {
    for (const char* name : {"a", "b", "c", "d"}) EXPECT_TRUE(has_room(mine, name, from(9)));
  }
  EXPECT_EQ(claims.size(), 8u);
  EXPECT_FALSE(has_room(12, "a", from(9))) << "it has all there is";
  // Others get their part of it, up to an equal share, and keep it.
  for (const char* name : {"a", "b", "c", "d"}) EXPECT_TRUE(has_room(13, name, from(8))) << name;
  EXPECT_FALSE(has_room(14, "a", from(8)));
  EXPECT_TRUE(has_room(15, "a", from(7)));
  EXPECT_EQ(claims.size(), 8u);
}

}  // namespace
}  // namespace ptrain::relay
