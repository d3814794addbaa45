// What a relay makes of what a neighbour says, whatever it says.

#include "tools/relay/neighbours/mirror.h"

#include <stdexcept>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "libcommon/net/relay_codec.h"
#include "tests/unit/relay/run_of_members.h"

namespace ptrain::relay {
namespace {

using namespace std::chrono_literals;
using testing::HasSubstr;
namespace request = net::request;
namespace answer = net::answer;

struct MirrorTest : testing::Test {
  MirrorTest() { mirror.connected(now); }

  // What is asked now; it must be for a page.
  request::Mirror asked() {
    const auto next = mirror.next_request(now);
    if (!next) throw std::runtime_error("nothing is asked");
    id = next->id;
    return std::get<request::Mirror>(next->body);
  }
  MirrorNews answered(const decltype(net::Answer::body)& body) {
    MirrorNews news;
    mirror.take({.id = id, .body = body}, now, news);
    return news;
  }
  MirrorNews told(const answer::Mirrored& page) {
    asked();
    return answered(page);
  }
  answer::Mirrored list(const std::vector<net::SignedRecord>& records) {
    ++number;
    return {.afresh = true, .records = records, .gone = {}, .up_to = number, .latest = number};
  }
  answer::Mirrored further(const std::vector<net::SignedRecord>& records,
                           const std::vector<answer::Gone>& gone = {}) {
    return {.records = records, .gone = gone, .up_to = ++number, .latest = number};
  }
  net::SignedRecord record(std::uint8_t peer) const { return run.record(key_of(peer), "a"); }
  static net::Place place(std::uint8_t peer) { return {.peer_key = key_of(peer), .role = "a"}; }
  bool sees(std::uint8_t peer) const {
    return registry.record_of(run.key(), place(peer)) != nullptr;
  }
  MirrorNews after(Duration passed) {
    now += passed;
    MirrorNews news;
    mirror.expire(now, news);
    return news;
  }

  TimePoint now{1h};
  TestRun run{1};
  AccessRules rules;
  Registry registry{{.lease = 30s, .members = 10}, 1000};
  net::PublicKey neighbour = key_of(100);
  Mirror mirror{neighbour, registry, rules, now};
  std::uint64_t id = 0;
  std::uint64_t number = 50;
};

TEST_F(MirrorTest, AsksFromTheBeginningAndGoesOnWhereAPageEnded) {
  EXPECT_EQ(asked().since, 0u);
  EXPECT_FALSE(mirror.next_request(now)) << "one page at a time";
  EXPECT_FALSE(mirror.following());
  const auto news = answered(list({record(1), record(2)}));
  EXPECT_TRUE(mirror.following());
  EXPECT_EQ(news.changes.size(), 2u);
  EXPECT_TRUE(sees(1) && sees(2));
  EXPECT_EQ(asked().since, number);
  const auto gone = answered(further({}, {{run.key(), place(1)}}));
  ASSERT_EQ(gone.departures.size(), 1u);
  EXPECT_FALSE(gone.departures[0].elsewhere);
  EXPECT_FALSE(sees(1));
  EXPECT_TRUE(sees(2));
}

TEST_F(MirrorTest, WhoIsNotInANewListIsGone) {
  told(list({record(1), record(2)}));
  auto first = list({record(2)});
  first.complete = false;
  first.up_to = 7;
  first.latest = 90;
  EXPECT_TRUE(told(first).departures.empty()) << "it may be on the next page";
  const auto next = asked();
  EXPECT_EQ(next.since, 7u);
  EXPECT_EQ(next.listing, 90u);
  EXPECT_EQ(answered(further({record(3)})).departures.size(), 1u);
  EXPECT_FALSE(sees(1));
  EXPECT_TRUE(sees(2) && sees(3));
  EXPECT_EQ(asked().listing, 0u);
}

TEST_F(MirrorTest, AListThatBreaksOffIsBegunAnew) {
  told(list({record(1)}));
  auto first = list({record(2)});
  first.complete = false;
  told(first);
  MirrorNews news;
  mirror.lost(news);
  mirror.connected(now);
  EXPECT_EQ(asked().since, 0u);
  answered(list({record(2)}));
  EXPECT_FALSE(sees(1));
  mirror.lost(news);
  mirror.connected(now);
  EXPECT_EQ(asked().since, number) << "what is whole is not asked for again";
}

TEST_F(MirrorTest, ANeighbourOfAnotherVersionIsNamedThoughItCannotSayWhatItRefuses) {
  asked();
  MirrorNews news;
  mirror.take({.id = 0, .body = answer::Refused{net::Refusal::version, "version 1, ours is 2", 0}},
              now, news);
  EXPECT_EQ(mirror.trouble(), "version: version 1, ours is 2");
  EXPECT_FALSE(mirror.next_request(now));
  now += kRefusedRetry;
  EXPECT_TRUE(mirror.next_request(now)) << "it may have been upgraded";
}

TEST_F(MirrorTest, RevocationsThatTheIssuerHasSignedArePassedOn) {
  auto page = list({});
  net::Revocation forged = run.revocation(key_of(3));
  forged.peer_key = key_of(4);
  page.revocations = {run.revocation(key_of(3)), forged};
  EXPECT_EQ(told(page).revocations, std::vector{run.revocation(key_of(3))});
  EXPECT_EQ(mirror.forged(), 1u);
}

TEST_F(MirrorTest, RecordsThatTheirRunHasNotSignedAreNotTaken) {
  net::SignedRecord changed = record(1);
  changed.record.back() ^= std::byte{1};
  const net::SignedRecord foreign = TestRun(9).signed_by_members(run.opened(key_of(2), "a"));
  const net::SignedRecord nothing{.record = {}, .signature = {}};
  const auto news = told(list({changed, foreign, nothing, record(3)}));
  EXPECT_EQ(mirror.forged(), 3u);
  EXPECT_EQ(news.changes.size(), 1u);
  EXPECT_FALSE(sees(1) || sees(2));
  EXPECT_TRUE(sees(3));
}

TEST_F(MirrorTest, OnlyWhoIsServedHereIsTaken) {
  const TestRun other(2);
  rules.runs.emplace().insert(net::RunId(run.key()));
  rules.peers.emplace().insert(key_of(1));
  told(list({record(1), record(2), other.record(key_of(1), "a")}));
  EXPECT_EQ(mirror.members(), 1u);
  EXPECT_TRUE(sees(1));
  // The rules change: who was left out is asked for, and who is no longer served is gone.
  rules.peers = {{key_of(2)}};
  MirrorNews news;
  mirror.apply_rules(news);
  ASSERT_EQ(news.departures.size(), 1u);
  EXPECT_EQ(news.departures[0].who, place(1));
  EXPECT_EQ(asked().since, 0u);
  // Even if a page was asked for by the earlier ones.
  mirror.apply_rules(news);
  EXPECT_TRUE(answered(further({})).changes.empty());
  EXPECT_EQ(asked().since, 0u);
  answered(list({record(1), record(2)}));
  EXPECT_FALSE(sees(1));
  EXPECT_TRUE(sees(2));
}

TEST_F(MirrorTest, ANeighbourHasSoManyMembersAndNoMore) {
  std::vector<net::SignedRecord> records;
  for (std::uint8_t i = 1; i <= 10; ++i) records.push_back(record(i));
  told(list(records));
  EXPECT_EQ(mirror.members(), 10u);
  EXPECT_EQ(mirror.left_out(), 0u);
  told(further({record(11), run.record(key_of(1), "a", 2)}));
  EXPECT_EQ(mirror.members(), 10u);
  EXPECT_EQ(mirror.left_out(), 1u);
  EXPECT_FALSE(sees(11));
  // They are asked for again after a while, and at once when there is room.
  EXPECT_NE(asked().since, 0u);
  answered(further({}));
  now += 30s;
  EXPECT_EQ(asked().since, 0u);
  records.erase(records.begin());
  records.push_back(record(11));
  answered(list(records));
  EXPECT_EQ(asked().since, 0u);
  answered(list(records));
  EXPECT_TRUE(sees(11));
  EXPECT_EQ(mirror.left_out(), 0u);
}

TEST_F(MirrorTest, OfASilentNeighbourNothingIsSeenAfterALeaseAndItsTokensHold) {
  told(list({record(1)}));
  MirrorNews news;
  mirror.lost(news);
  EXPECT_TRUE(after(30s).changes.empty());
  const auto gone = after(1s);
  ASSERT_EQ(gone.changes.size(), 1u);
  EXPECT_FALSE(gone.changes[0].record);
  EXPECT_TRUE(gone.departures.empty()) << "nobody has said that it left";
  EXPECT_FALSE(sees(1));
  mirror.connected(now);
  EXPECT_EQ(told(further({})).changes.size(), 1u) << "it is back";
  EXPECT_TRUE(sees(1));
  mirror.lost(news);
  after(31s);
  EXPECT_EQ(after(kForgetNeighbour).departures.size(), 1u);
  EXPECT_EQ(mirror.members(), 0u);
}

TEST_F(MirrorTest, AnAnswerThatDoesNotComeIsOverdueWithinALease) {
  asked();
  EXPECT_FALSE(mirror.overdue(now + 5s));
  EXPECT_TRUE(mirror.overdue(now + 15s));
}

TEST_F(MirrorTest, ARefusalIsSaidAndAskedAgainAfterAWhile) {
  asked();
  answered(answer::Refused{net::Refusal::not_allowed, "who are you", 0});
  EXPECT_FALSE(mirror.following());
  EXPECT_THAT(mirror.trouble(), HasSubstr("who are you"));
  EXPECT_FALSE(mirror.next_request(now));
  now += kRefusedRetry;
  EXPECT_TRUE(mirror.next_request(now));
}

TEST_F(MirrorTest, AFloodOfPagesIsTakenSlowly) {
  int pages = 0;
  for (; pages < 1000; ++pages) {
    const auto next = mirror.next_request(now);
    if (!next) break;
    id = next->id;
    answered(list({record(1)}));
  }
  EXPECT_EQ(pages, static_cast<int>(kPageRule.burst));
  now += 1s;
  EXPECT_TRUE(mirror.next_request(now));
}

TEST_F(MirrorTest, WhatIsForwardedHasAnOutcome) {
  const request::Forward message{.run_key = run.key(), .to = place(1), .record = {}, .tokens = {}};
  EXPECT_FALSE(mirror.forward(1, message)) << "it has not said that it knows us";
  told(list({}));
  for (std::uint64_t i = 1; i <= 4; ++i) ASSERT_TRUE(mirror.forward(i, message));
  std::vector<std::uint64_t> ids;
  for (int i = 0; i < 4; ++i) ids.push_back(mirror.next_request(now)->id);
  MirrorNews news;
  mirror.take({.id = ids[0], .body = answer::Forwarded{}}, now, news);
  mirror.take({.id = ids[0], .body = answer::Forwarded{}}, now, news);
  mirror.take({.id = ids[1], .body = answer::Refused{net::Refusal::unknown_peer, "", 1000}}, now,
              news);
  answer::Refused gone{net::Refusal::unknown_peer, "", 1000};
  gone.absent = true;
  mirror.take({.id = ids[2], .body = gone}, now, news);
  mirror.lost(news);
  ASSERT_EQ(news.outcomes.size(), 4u) << "each has one";
  EXPECT_EQ(news.outcomes[0].forward, 1u);
  EXPECT_EQ(news.outcomes[0].delivery, Delivery::made);
  EXPECT_EQ(news.outcomes[1].delivery, Delivery::failed);
  EXPECT_EQ(news.outcomes[2].delivery, Delivery::absent);
  EXPECT_EQ(news.outcomes[3].delivery, Delivery::failed);
}

TEST_F(MirrorTest, SoManyMessagesAreUnderWayAndNoMore) {
  const request::Forward message{.run_key = run.key(), .to = place(1), .record = {}, .tokens = {}};
  told(list({}));
  for (std::uint64_t i = 1; i <= kMaxForwardsUnderWay; ++i) ASSERT_TRUE(mirror.forward(i, message));
  EXPECT_FALSE(mirror.forward(0, message));
  const auto first = mirror.next_request(now);
  EXPECT_FALSE(mirror.forward(0, message)) << "it waits for its answer";
  MirrorNews news;
  mirror.take({.id = first->id, .body = answer::Forwarded{}}, now, news);
  EXPECT_TRUE(mirror.forward(0, message));
}

TEST_F(MirrorTest, AMessageWithoutAnAnswerHasFailedAfterAWhile) {
  told(list({}));
  mirror.forward(7, {.run_key = run.key(), .to = place(1), .record = {}, .tokens = {}});
  ASSERT_TRUE(mirror.next_request(now));
  EXPECT_TRUE(after(kForwardAnswerTimeout).outcomes.empty());
  const auto news = after(1ms);
  ASSERT_EQ(news.outcomes.size(), 1u);
  EXPECT_EQ(news.outcomes[0].forward, 7u);
  EXPECT_EQ(news.outcomes[0].delivery, Delivery::failed);
}

TEST_F(MirrorTest, WhoIsNoNeighbourAnyMoreLeavesNothingBehind) {
  told(list({record(1)}));
  MirrorNews news;
  mirror.dissolve(news);
  EXPECT_EQ(news.departures.size(), 1u);
  EXPECT_EQ(registry.reflections(), 0u);
  EXPECT_EQ(registry.runs(), 0u);
}

}  // namespace
}  // namespace ptrain::relay
