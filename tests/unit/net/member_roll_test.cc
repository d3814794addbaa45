// Who is there, by the words of several relays.

#include "libcommon/net/member_roll.h"

#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace ptrain::net {
namespace {

using namespace std::chrono_literals;
using testing::ElementsAre;
using testing::IsEmpty;

class MemberRollTest : public testing::Test {
 protected:
  MemberRollTest() {
    roll.speaks(0, now);
    roll.speaks(1, now);
  }
  std::vector<std::string> news() {
    std::vector<std::string> told;
    for (const auto& [member, there] : roll.take_news(now)) {
      told.push_back((there ? "+" : "-") + member.name);
    }
    return told;
  }
  static WorkerId member(const std::string& name) { return {PublicKey{}, name}; }

  TimePoint now{};
  MemberRoll roll{2};
};

TEST_F(MemberRollTest, OneRelayIsEnoughAndNoneIsToldTwice) {
  roll.seen(0, member("a"));
  roll.seen(1, member("a"));
  roll.seen(0, member("b"));
  EXPECT_THAT(news(), ElementsAre("+a", "+b"));
  roll.seen(0, member("a"));
  roll.gone(0, member("a"));
  EXPECT_THAT(news(), IsEmpty());
  roll.gone(1, member("a"));
  roll.gone(1, member("nobody"));
  EXPECT_THAT(news(), ElementsAre("-a"));
  EXPECT_EQ(roll.next_tick(), TimePoint::max());
}

TEST_F(MemberRollTest, WhoCameAndWentBetweenTwoQuestionsWasNeverThere) {
  roll.seen(0, member("a"));
  roll.gone(0, member("a"));
  EXPECT_THAT(news(), IsEmpty());
}

TEST_F(MemberRollTest, ASilentRelaysWordHoldsForAWhile) {
  roll.seen(0, member("a"));
  roll.seen(1, member("b"));
  EXPECT_THAT(news(), ElementsAre("+a", "+b"));
  now += 2 * kWordHolds;
  roll.is_silent(0, now);
  EXPECT_EQ(roll.next_tick(), now + kWordHolds);
  now += kWordHolds - 1s;
  roll.is_silent(0, now);
  EXPECT_THAT(news(), IsEmpty());
  now += 1s;
  EXPECT_THAT(news(), ElementsAre("-a"));
  EXPECT_EQ(roll.next_tick(), TimePoint::max());
  roll.speaks(0, now);
  roll.seen(0, member("a"));
  EXPECT_THAT(news(), ElementsAre("+a"));
}

// As one that was started anew, and does not have everybody yet.
TEST_F(MemberRollTest, WhomARelayNoLongerListsIsThereForAWhile) {
  roll.seen(0, member("a"));
  roll.seen(0, member("b"));
  EXPECT_THAT(news(), ElementsAre("+a", "+b"));
  roll.unlisted(0, member("a"), now);
  roll.unlisted(0, member("b"), now);
  now += kWordHolds / 2;
  roll.seen(0, member("a"));
  EXPECT_THAT(news(), IsEmpty());
  now += kWordHolds / 2;
  EXPECT_EQ(roll.next_tick(), now);
  EXPECT_THAT(news(), ElementsAre("-b"));
  EXPECT_EQ(roll.next_tick(), TimePoint::max());
}

TEST_F(MemberRollTest, ARelayThatComesBackInTimeHasTimeToSayWhoIsThere) {
  roll.seen(0, member("a"));
  now += 2 * kWordHolds;
  EXPECT_THAT(news(), ElementsAre("+a"));
  roll.is_silent(0, now);
  now += kWordHolds - 1s;
  roll.speaks(0, now);
  now += 2s;
  EXPECT_THAT(news(), IsEmpty());
  roll.seen(0, member("a"));
  now += kWordHolds;
  EXPECT_THAT(news(), IsEmpty());
}

TEST_F(MemberRollTest, WhereNoRelayCanBeAskedNobodyHasGone) {
  roll.seen(0, member("a"));
  EXPECT_THAT(news(), ElementsAre("+a"));
  roll.is_silent(0, now);
  roll.is_silent(1, now);
  now += 2 * kWordHolds;
  EXPECT_EQ(roll.next_tick(), TimePoint::max());
  EXPECT_THAT(news(), IsEmpty());
  // The first one that speaks again has yet to say who is there.
  roll.speaks(1, now);
  EXPECT_THAT(news(), IsEmpty());
  now += kWordHolds - 1s;
  EXPECT_THAT(news(), IsEmpty());
  now += 1s;
  EXPECT_EQ(roll.next_tick(), now);
  EXPECT_THAT(news(), ElementsAre("-a"));
}

TEST_F(MemberRollTest, MembersAreBounded) {
  for (std::size_t i = 0; i <= kMostOnRoll; ++i) roll.seen(0, member(std::to_string(i)));
  EXPECT_EQ(news().size(), kMostOnRoll);
}

}  // namespace
}  // namespace ptrain::net
