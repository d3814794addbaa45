#include "libcommon/elastic/view_change.h"

#include <algorithm>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "libcommon/base/error.h"
#include "libcommon/elastic/view_holder.h"
#include "tests/unit/elastic/views.h"

namespace ptrain::elastic {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using Phase = ViewChange::Phase;

constexpr TimePoint kNow{};
constexpr TimePoint kLater = kNow + std::chrono::seconds(10);

PeerName peer(const std::string& name) { return PeerName(name); }
std::set<PeerName> peers(const std::string& letters) {
  std::set<PeerName> all;
  for (const char letter : letters) all.insert(peer(std::string(1, letter)));
  return all;
}
Ballot ballot(FencingNumber number, const std::string& driver, std::uint64_t round = 0) {
  return {number, round, peer(driver)};
}
Lease lease(FencingNumber number) { return {.number = number, .until = kLater}; }

// Peers that answer at once, and a driver among them.
class ViewChangeTest : public ::testing::Test {
 protected:
  void begin(const View& view, const std::string& spares = "") {
    base_ = view;
    for (const PeerName& each : job::peers_of(view)) holders_.emplace(each, ViewHolder(each, view));
    for (const PeerName& each : peers(spares)) holders_.emplace(each, ViewHolder::newcomer(each));
  }
  ViewChange change(const View& wanted, const Ballot& by, DecidedBy rule = DecidedBy::holders) {
    std::set<PeerName> present;
    for (const auto& [each, unused] : holders_) present.insert(each);
    return ViewChange({base_, wanted, by, present, rule}, lease(by.number), kNow);
  }
  // One round: everybody is asked once what is due now, and answers.
  void ask(ViewChange& change) {
    for (const auto& [to, request] : change.due(lease(change.ballot().number), kNow)) {
      change.take(to, holders_.at(to).take(request));
    }
  }
  void get_ready(const PeerName& each) {
    ViewHolder& holder = holders_.at(each);
    if (const auto view = holder.to_get_ready_for()) holder.got_ready(*view);
  }

  View base_;
  std::map<PeerName, ViewHolder> holders_;
};

TEST_F(ViewChangeTest, GoesFromProposedToCommittedAndEveryHolderFollows) {
  begin(view_of({"a", "b", "c"}), "s");
  holders_.erase(peer("c"));
  const View wanted = view_of({"a", "b", "s"}, 1, 7);
  ViewChange change = this->change(wanted, ballot(4, "a"));
  EXPECT_EQ(change.phase(), Phase::proposed);
  EXPECT_EQ(change.waits_for(), "proposed: 0 of 3 holders of epoch 0 have voted, 2 must");
  ask(change);
  EXPECT_EQ(change.phase(), Phase::prepared);
  ask(change);
  EXPECT_TRUE(change.agreed());
  EXPECT_EQ(change.phase(), Phase::prepared);
  EXPECT_EQ(change.waits_for(), "prepared: a has not got ready for epoch 1");
  for (const char* each : {"a", "b"}) get_ready(peer(each));
  ask(change);
  EXPECT_EQ(change.waits_for(), "prepared: s has not got ready for epoch 1");
  EXPECT_EQ(holders_.at(peer("a")).followed(), base_);  // until then nothing has changed
  get_ready(peer("s"));
  ask(change);
  EXPECT_EQ(change.phase(), Phase::ready);
  EXPECT_EQ(change.waits_for(), "ready: a does not follow epoch 1 yet");
  ask(change);
  EXPECT_EQ(change.phase(), Phase::committed);
  EXPECT_EQ(change.waits_for(), "");
  EXPECT_THAT(change.due(lease(4), kNow), IsEmpty());
  for (const char* each : {"a", "b", "s"}) {
    EXPECT_EQ(holders_.at(peer(each)).followed(), wanted) << each;
    EXPECT_EQ(holders_.at(peer(each)).followed_under(), ballot(4, "a")) << each;
  }
  EXPECT_THAT(change.unaccounted(), ElementsAre(peer("c")));
}

TEST_F(ViewChangeTest, WhoHasNoLeaseChangesNothing) {
  begin(view_of({"a", "b"}));
  const View wanted = view_of({"b", "b"}, 1);
  const ViewChange::Plan plan{base_, wanted, ballot(4, "b"), peers("ab")};
  EXPECT_THROW(ViewChange(plan, lease(4), kLater), Error);  // it has run out
  EXPECT_THROW(ViewChange(plan, lease(5), kNow), Error);    // it is of another number
  ViewChange change(plan, lease(4), kNow);
  EXPECT_EQ(change.due(lease(4), kLater - Duration(1)).size(), 2u);
  EXPECT_THAT(change.due(lease(4), kLater), IsEmpty());
  EXPECT_THAT(change.due(lease(5), kNow), IsEmpty());
  EXPECT_EQ(change.due({.number = 4, .until = kLater + Duration(1)}, kLater).size(),
            2u);  // renewed
}

TEST_F(ViewChangeTest, OnlyTheNextViewOfTheSameCellsCanBeWanted) {
  begin(view_of({"a", "b"}, 3, 10));
  for (const View& wrong : {view_of({"a", "b"}, 3, 10), view_of({"a", "b"}, 5, 10),
                            view_of({"a", "b"}, 4, 9), view_of({"a", "b", "c"}, 4, 10)}) {
    EXPECT_THROW(change(wrong, ballot(1, "a")), Error);
  }
  EXPECT_NO_THROW(change(view_of({"a", "a"}, 4, 10), ballot(1, "a")));
}

TEST(DecideTest, MoreThanHalfOrHalfWithTheFirstCell) {
  const View five = view_of({"ab", "cd", "ee"});
  EXPECT_TRUE(decide(DecidedBy::holders, five, peers("bcd")));
  EXPECT_FALSE(decide(DecidedBy::holders, five, peers("ab")));
  EXPECT_FALSE(decide(DecidedBy::holders, five, peers("abxyz")));  // others have no vote
  const View four = view_of({"ba", "cd"});
  EXPECT_TRUE(decide(DecidedBy::holders, four, peers("bd")));
  EXPECT_FALSE(decide(DecidedBy::holders, four, peers("ad")));
  EXPECT_EQ(what_is_missing(DecidedBy::holders, four, peers("ad")),
            "2 of 4 holders of epoch 0 have voted, without b, the holder of cell 0,0, 3 must");
  EXPECT_EQ(what_is_missing(DecidedBy::holders, four, peers("acd")), "");
  EXPECT_TRUE(decide(DecidedBy::lease, five, peers("e")));
  EXPECT_FALSE(decide(DecidedBy::lease, five, peers("x")));
  EXPECT_EQ(what_is_missing(DecidedBy::lease, five, {}),
            "0 of 5 holders of epoch 0 have voted, 1 must");
}

// Any two groups that decide have a member in common.
TEST(DecideTest, NoTwoGroupsApartDecide) {
  for (const View& base :
       {view_of({"a"}), view_of({"a", "b"}), view_of({"ab", "bc"}), view_of({"ba", "cd"}),
        view_of({"ab", "cd", "ee"}), view_of({"fb", "cd", "ea"})}) {
    const std::set<PeerName> holders = job::holders_of(base);
    const std::vector<PeerName> all(holders.begin(), holders.end());
    for (unsigned left = 0; left < 1u << all.size(); ++left) {
      std::set<PeerName> one, other;
      for (std::size_t i = 0; i < all.size(); ++i) (left >> i & 1 ? one : other).insert(all[i]);
      EXPECT_FALSE(decide(DecidedBy::holders, base, one) &&
                   decide(DecidedBy::holders, base, other));
    }
  }
}

TEST_F(ViewChangeTest, ALargerBallotFencesTheSmaller) {
  begin(view_of({"a", "b", "c"}));
  ViewChange old = change(view_of({"a", "b", "b"}, 1), ballot(4, "a"));
  ViewChange young = change(view_of({"b", "b", "c"}, 1, 0, "b"), ballot(5, "b"));
  ask(old);
  ask(young);  // before anybody has accepted what the old one wants
  ask(old);
  ASSERT_TRUE(old.deposed());
  EXPECT_EQ(old.deposed()->reason, RefusalReason::fenced);
  EXPECT_EQ(old.waits_for(), "deposed: somebody follows ballot number 5, round 0, of b");
  EXPECT_THAT(old.due(lease(4), kNow), IsEmpty());
  EXPECT_FALSE(old.agreed());
  ask(young);
  EXPECT_TRUE(young.agreed());
  EXPECT_FALSE(young.adopted());
}

TEST_F(ViewChangeTest, RelaysThatGrantOneNumberTwiceCannotMakeTwoViews) {
  begin(view_of({"a", "b", "c"}));
  ViewChange one = change(view_of({"a", "b", "b"}, 1), ballot(4, "a"));
  ViewChange two = change(view_of({"b", "b", "c"}, 1, 0, "b"), ballot(4, "b"));
  ask(one);
  ask(two);
  ask(one);
  ask(two);
  EXPECT_TRUE(one.deposed());
  EXPECT_TRUE(two.agreed());
}

TEST_F(ViewChangeTest, WhatMayHaveBeenAgreedOnIsCarriedThrough) {
  begin(view_of({"a", "b", "c"}));
  const View first = view_of({"a", "b", "b"}, 1);
  ViewChange old = change(first, ballot(4, "a"));
  ask(old);
  ask(old);
  ASSERT_TRUE(old.agreed());
  ViewChange young = change(view_of({"b", "b", "c"}, 1, 0, "b"), ballot(5, "b"));
  ask(young);
  EXPECT_TRUE(young.adopted());
  EXPECT_EQ(young.view(), first);
  EXPECT_FALSE(young.superseded());
  ask(young);
  EXPECT_TRUE(young.agreed());
  EXPECT_TRUE(young.superseded());  // its own comes on top
  base_ = first;
  ViewChange next = change(view_of({"b", "b", "c"}, 2, 0, "b"), ballot(5, "b", 1));
  ask(next);
  EXPECT_EQ(next.phase(), Phase::prepared);
  EXPECT_FALSE(next.adopted());
  for (const auto& [each, holder] : holders_) EXPECT_EQ(holder.known(), first) << each.text();
}

TEST_F(ViewChangeTest, AHolderLostOnTheWayLeavesAViewOnWhichTheNextIsMade) {
  begin(view_of({"a", "b", "c"}), "s");
  ViewChange change = this->change(view_of({"a", "b", "s"}, 1), ballot(4, "a"));
  ask(change);
  change.lost(peer("s"));
  EXPECT_FALSE(change.superseded());  // not agreed on yet
  ask(change);
  EXPECT_TRUE(change.superseded());
  change.found(peer("s"));
  EXPECT_FALSE(change.superseded());
  change.lost(peer("s"));
  holders_.erase(peer("s"));
  base_ = change.view();
  ViewChange next = this->change(view_of({"a", "b", "b"}, 2), ballot(4, "a", 1));
  ask(next);
  ask(next);
  for (const char* each : {"a", "b"}) get_ready(peer(each));
  ask(next);
  ask(next);
  EXPECT_EQ(next.phase(), Phase::committed);
}

TEST_F(ViewChangeTest, WhoIsLeftOutIsToldAsWell) {
  begin(view_of({"a", "b", "c"}));
  ViewChange change = this->change(view_of({"a", "b", "b"}, 1), ballot(4, "a"));
  ask(change);
  ask(change);
  for (const char* each : {"a", "b"}) get_ready(peer(each));
  ask(change);
  ask(change);
  EXPECT_EQ(change.phase(), Phase::committed);
  EXPECT_EQ(holders_.at(peer("c")).followed(), change.view());
  EXPECT_THAT(change.unaccounted(), IsEmpty());  // it has agreed
}

// What DecidedBy::lease leaves to honest relays: they must not grant it to two at a time.
TEST_F(ViewChangeTest, WhereTheLeaseDecidesTwoPartsCanAgreeApart) {
  begin(view_of({"a", "b"}));
  ViewChange one({base_, view_of({"a", "a"}, 1), ballot(4, "a"), peers("a"), DecidedBy::lease},
                 lease(4), kNow);
  ViewChange two({base_, view_of({"b", "b"}, 1), ballot(4, "b"), peers("b"), DecidedBy::lease},
                 lease(4), kNow);
  for (int round = 0; round < 2; ++round) {
    ask(one);
    ask(two);
  }
  EXPECT_TRUE(one.agreed());
  EXPECT_TRUE(two.agreed());
  EXPECT_THAT(one.unaccounted(), ElementsAre(peer("b")));
}

TEST_F(ViewChangeTest, ADriverThatIsBehindLearnsOfTheLaterView) {
  begin(view_of({"a", "b"}));
  const View later = view_of({"a", "a"}, 1);
  const Answer told = holders_.at(peer("b")).take(Propose{ballot(7, "a"), later});
  EXPECT_TRUE(std::holds_alternative<Promised>(told));
  EXPECT_FALSE(std::get<Promised>(told).votes);  // it holds nothing there
  ViewChange change = this->change(view_of({"b", "b"}, 1, 0, "b"), ballot(8, "b"));
  ask(change);
  ASSERT_TRUE(change.deposed());
  EXPECT_EQ(change.deposed()->reason, RefusalReason::overtaken);
  EXPECT_EQ(change.deposed()->known, later);
  EXPECT_EQ(change.waits_for(), "deposed: somebody knows of the view of epoch 1");
}

TEST_F(ViewChangeTest, AnswersOfAnotherBallotChangeNothing) {
  begin(view_of({"a", "b"}));
  ViewChange change = this->change(view_of({"a", "a"}, 1), ballot(4, "a", 1));
  const ViewChange before = change;
  change.take(peer("b"), Promised{ballot(4, "a"), true});
  change.take(peer("b"), Refused{ballot(4, "a"), RefusalReason::fenced, ballot(9, "b")});
  EXPECT_EQ(change, before);
}

TEST(ViewHolderTest, AnswersTheSameRequestTheSameAgain) {
  ViewHolder holder(peer("b"), view_of({"a", "b"}));
  const View base = view_of({"a", "b"});
  const View view = view_of({"b", "b"}, 1, 0, "b");
  for (const Request& request :
       {Request(Propose{ballot(4, "a"), base}), Request(Accept{ballot(4, "a"), base, view})}) {
    const Answer first = holder.take(request);
    const ViewHolder after = holder;
    EXPECT_EQ(holder.take(request), first);
    EXPECT_EQ(holder, after);
  }
  EXPECT_EQ(holder.got_ready(base), std::nullopt);
  EXPECT_TRUE(holder.got_ready(view)->ready);
  const Answer followed = holder.take(Commit{ballot(4, "a"), view});
  EXPECT_TRUE(std::holds_alternative<Followed>(followed));
  EXPECT_EQ(holder.take(Commit{ballot(4, "a"), view}), followed);
  EXPECT_EQ(holder.to_get_ready_for(), std::nullopt);
}

TEST(ViewHolderTest, FollowsNothingThatItIsNotReadyFor) {
  ViewHolder holder = ViewHolder::newcomer(peer("s"));
  const View base = view_of({"a", "b"});
  const View view = view_of({"a", "s"}, 1);
  const auto reason = [&](const Ballot& by) {
    const Answer answer = holder.take(Commit{by, view});
    return std::holds_alternative<Refused>(answer) ? std::optional(std::get<Refused>(answer).reason)
                                                   : std::nullopt;
  };
  EXPECT_EQ(reason(ballot(4, "a")), RefusalReason::not_ready);
  holder.take(Accept{ballot(4, "a"), base, view});
  EXPECT_EQ(reason(ballot(4, "a")), RefusalReason::not_ready);
  EXPECT_EQ(reason(ballot(3, "a")), RefusalReason::fenced);
  holder.got_ready(view);
  holder.take(Accept{ballot(5, "a"), base, view_of({"s", "s"}, 1)});
  EXPECT_EQ(reason(ballot(5, "a")), RefusalReason::not_ready);  // ready for another one
  EXPECT_EQ(holder.followed(), std::nullopt);
}

TEST(ViewHolderTest, RefusesAnotherBranchUntilItIsAPeerOfItAnew) {
  ViewHolder holder(peer("a"), view_of({"a", "b"}, 1));
  const Answer answer = holder.take(Propose{ballot(4, "b"), view_of({"b", "b"}, 1)});
  ASSERT_TRUE(std::holds_alternative<Refused>(answer));
  EXPECT_EQ(std::get<Refused>(answer).reason, RefusalReason::other_branch);
  EXPECT_EQ(holder.promised(), Ballot());
}

}  // namespace
}  // namespace ptrain::elastic
