#include "tools/relay/carrier/token_desk.h"

#include <atomic>
#include <set>
#include <thread>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <poll.h>

#include "libcommon/net/relay_codec.h"
#include "tests/unit/relay/carrier/seats.h"

namespace ptrain::relay {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

const TimePoint kStart{};

bool rings(int fd) {
  pollfd polled{fd, POLLIN, 0};
  return ::poll(&polled, 1, 0) == 1;
}

class TokenDeskTest : public ::testing::Test {
 protected:
  std::string issue(const Seat& seat) { return desk_.issue(seat, "a", kStart).value(); }

  SystemRandom random_;
  TokenDesk desk_{{.tokens = 6, .tokens_per_member = 4, .token_life = std::chrono::hours(1)},
                  random_};
};

TEST_F(TokenDeskTest, ATokenStandsForItsSeat) {
  const std::string low = issue(seat_of(1, 2));
  const std::string high = issue(seat_of(2, 1));
  EXPECT_EQ(desk_.redeem(high, kStart), seat_of(2, 1));
  EXPECT_EQ(desk_.redeem(low, kStart), seat_of(1, 2));
}

TEST_F(TokenDeskTest, NoTwoTokensAreAlikeAndAllFitTheProtocol) {
  std::set<std::string> seen;
  for (int i = 0; i < 1000; ++i) {
    const std::string token = issue(seat_of(1, 2));
    EXPECT_LE(token.size(), net::kMaxTokenChars);
    EXPECT_TRUE(seen.insert(token).second);
  }
}

TEST_F(TokenDeskTest, IsSpentByItsFirstUse) {
  const std::string token = issue(seat_of(1, 2));
  EXPECT_TRUE(desk_.redeem(token, kStart));
  EXPECT_FALSE(desk_.redeem(token, kStart));
}

TEST_F(TokenDeskTest, TheOwnerOfASpentTokenIsReportedOnce) {
  const std::string token = issue(seat_of(1, 2));
  EXPECT_FALSE(rings(desk_.spent_fd()));
  desk_.redeem(token, kStart);
  EXPECT_TRUE(rings(desk_.spent_fd()));
  EXPECT_THAT(desk_.take_spent(), ElementsAre(seat_of(1, 2)));
  EXPECT_FALSE(rings(desk_.spent_fd()));
  EXPECT_THAT(desk_.take_spent(), IsEmpty());
}

TEST_F(TokenDeskTest, ASeatThatHasAFreshTokenAlreadyIsNotReported) {
  desk_.redeem(issue(seat_of(1, 2)), kStart);
  issue(seat_of(1, 2));
  EXPECT_FALSE(rings(desk_.spent_fd()));
  EXPECT_THAT(desk_.take_spent(), IsEmpty());
}

TEST_F(TokenDeskTest, AFreshTokenReplacesTheEarlierOne) {
  const std::string earlier = issue(seat_of(1, 2));
  const std::string fresh = issue(seat_of(1, 2));
  EXPECT_FALSE(desk_.redeem(earlier, kStart));
  EXPECT_TRUE(desk_.redeem(fresh, kStart));
}

TEST_F(TokenDeskTest, WhatWasNeverIssuedIsRefusedAndReportedToNobody) {
  issue(seat_of(1, 2));
  for (const char* guess : {"", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", "localhost"}) {
    EXPECT_FALSE(desk_.redeem(guess, kStart));
  }
  EXPECT_THAT(desk_.take_spent(), IsEmpty());
}

TEST_F(TokenDeskTest, ALeaseThatEndsVoidsTheTokensOfBothSides) {
  const std::string own = issue(seat_of(1, 2));
  const std::string of_the_other = issue(seat_of(2, 1));
  const std::string unrelated = issue(seat_of(2, 3));
  const std::string of_another_run = issue(seat_of(1, 2, 0, 9));
  desk_.revoke(run_of(1), place_of(1));
  EXPECT_FALSE(desk_.redeem(own, kStart));
  EXPECT_FALSE(desk_.redeem(of_the_other, kStart));
  EXPECT_TRUE(desk_.redeem(unrelated, kStart));
  EXPECT_TRUE(desk_.redeem(of_another_run, kStart));
}

TEST_F(TokenDeskTest, ALeaseThatEndsIsReportedToTheDataPortOnce) {
  EXPECT_FALSE(rings(desk_.revoked_fd()));
  desk_.revoke(run_of(1), place_of(1));
  EXPECT_TRUE(rings(desk_.revoked_fd()));
  EXPECT_THAT(desk_.take_revoked(), ElementsAre(Member{run_of(1), place_of(1)}));
  EXPECT_FALSE(rings(desk_.revoked_fd()));
  EXPECT_THAT(desk_.take_revoked(), IsEmpty());
}

TEST_F(TokenDeskTest, NobodyIsOwedAFreshTokenForALeaseThatEnded) {
  desk_.redeem(issue(seat_of(1, 2)), kStart);
  desk_.revoke(run_of(1), place_of(2));
  EXPECT_THAT(desk_.take_spent(), IsEmpty());
}

TEST_F(TokenDeskTest, UnusedTokensExpire) {
  const std::string token = issue(seat_of(1, 2));
  const std::string late = issue(seat_of(2, 1));
  EXPECT_TRUE(desk_.redeem(token, kStart + std::chrono::hours(1) - Duration(1)));
  EXPECT_FALSE(desk_.redeem(late, kStart + std::chrono::hours(1)));
  EXPECT_EQ(desk_.valid_tokens(), 0u);
}

TEST_F(TokenDeskTest, AMemberTakesPartInSoManyTokensAndNoMore) {
  for (std::uint8_t path = 0; path < 4; ++path) issue(seat_of(1, 2, path));
  EXPECT_FALSE(desk_.issue(seat_of(1, 3), "a", kStart));
  EXPECT_FALSE(desk_.issue(seat_of(3, 1), "a", kStart));
  EXPECT_TRUE(desk_.issue(seat_of(3, 4), "a", kStart));
  EXPECT_TRUE(desk_.issue(seat_of(1, 2, 3), "a", kStart)) << "a replacement takes no more room";
}

TEST_F(TokenDeskTest, TheTableHoldsSoManyTokensAndNoMore) {
  for (std::uint8_t i = 0; i < 6; ++i) issue(seat_of(10 + i, 20 + i));
  EXPECT_FALSE(desk_.issue(seat_of(1, 2), "a", kStart));
  EXPECT_TRUE(desk_.issue(seat_of(1, 2), "a", kStart + std::chrono::hours(1)))
      << "the others expired";
}

TEST_F(TokenDeskTest, WhoHasMostLosesItsOldestWhenAnotherComes) {
  std::vector<std::string> greedy;
  for (std::uint8_t i = 0; i < 6; ++i) greedy.push_back(issue(seat_of(10 + i, 20 + i)));
  const auto first = desk_.issue(seat_of(1, 2), "b", kStart);
  const auto second = desk_.issue(seat_of(2, 1), "b", kStart);
  ASSERT_TRUE(first && second);
  EXPECT_FALSE(desk_.redeem(greedy[0], kStart));
  EXPECT_FALSE(desk_.redeem(greedy[1], kStart));
  EXPECT_TRUE(desk_.redeem(greedy[2], kStart));
  // An equal share is nobody's to take.
  EXPECT_TRUE(desk_.issue(seat_of(30, 31), "a", kStart)) << "there is room again";
  EXPECT_TRUE(desk_.issue(seat_of(3, 4), "b", kStart));
  EXPECT_FALSE(desk_.issue(seat_of(3, 5), "b", kStart));
  EXPECT_TRUE(desk_.redeem(*first, kStart));
}

TEST(TokenDesk, OneTokenIsRedeemedOnceHoweverManyTry) {
  SystemRandom random;
  TokenDesk desk({}, random);
  for (int round = 0; round < 200; ++round) {
    const std::string token = desk.issue(seat_of(1, 2), "a", kStart).value();
    std::atomic<int> redeemed = 0;
    std::thread other([&] { redeemed += desk.redeem(token, kStart).has_value(); });
    redeemed += desk.redeem(token, kStart).has_value();
    other.join();
    ASSERT_EQ(redeemed, 1);
  }
}

}  // namespace
}  // namespace ptrain::relay
