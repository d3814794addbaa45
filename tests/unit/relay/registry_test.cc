#include "tools/relay/control/registry.h"

#include <iterator>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/unit/relay/run_of_members.h"

namespace ptrain::relay {
namespace {

using namespace std::chrono_literals;

struct RegistryTest : testing::Test {
  std::variant<Enrolment, net::Refusal> enrol(const TestRun& of, std::uint8_t peer,
                                              const std::string& role = "a",
                                              std::uint64_t sequence = 1,
                                              const std::string& host = "h",
                                              std::size_t candidates = 1) {
    const net::PublicKey key = key_of(peer);
    return registry.enrol(of.opened(key, role, sequence, candidates),
                          of.record(key, role, sequence, candidates), "c", host, now);
  }
  bool enrols(const TestRun& of, std::uint8_t peer, const std::string& role = "a",
              std::uint64_t sequence = 1, const std::string& host = "h") {
    return std::holds_alternative<Enrolment>(enrol(of, peer, role, sequence, host));
  }
  net::Refusal refusal(const TestRun& of, std::uint8_t peer, const std::string& role = "a",
                       std::uint64_t sequence = 1, const std::string& host = "h",
                       std::size_t candidates = 1) {
    return std::get<net::Refusal>(enrol(of, peer, role, sequence, host, candidates));
  }
  static net::Place place(std::uint8_t peer, const std::string& role = "a") {
    return {.peer_key = key_of(peer), .role = role};
  }

  net::SignedRecord record(std::uint8_t peer, std::uint64_t sequence = 1) const {
    return run.record(key_of(peer), "a", sequence);
  }
  // How many members of `run` its pages of that size show, each once.
  std::size_t seen(std::size_t page_bytes = 100000) const {
    std::set<net::Place> places;
    std::size_t shown = 0;
    net::Place after;
    for (bool complete = false; !complete;) {
      const Page page = registry.page(run.key(), "", after, page_bytes);
      complete = page.complete;
      for (const net::SignedRecord& each : page.records) {
        const auto opened = std::get<net::PeerRecord>(net::open(each));
        after = {.peer_key = opened.peer_key, .role = opened.role};
        places.insert(after);
        ++shown;
      }
    }
    EXPECT_EQ(places.size(), shown);
    return shown;
  }
  static inline const net::PublicKey kNear = key_of(201);
  static inline const net::PublicKey kFar = key_of(202);

  TimePoint now{};
  Registry registry{{.lease = 30s, .members = 200, .members_per_host = 100}, 1000};
  TestRun run{1};
  TestRun other{2};
};

TEST_F(RegistryTest, AMemberIsFoundUntilItsLeaseIsOver) {
  ASSERT_TRUE(enrols(run, 1));
  EXPECT_NE(registry.find(run.key(), place(1)), nullptr);
  EXPECT_EQ(registry.next_expiry(), now + 30s);
  EXPECT_TRUE(registry.expire(now + 30s - 1ns).empty());
  const auto departures = registry.expire(now + 30s);
  ASSERT_EQ(departures.size(), 1u);
  EXPECT_EQ(departures[0].who, place(1));
  EXPECT_EQ(registry.find(run.key(), place(1)), nullptr);
  EXPECT_EQ(registry.runs(), 0u);
}

TEST_F(RegistryTest, ARenewalMovesTheEnd) {
  enrol(run, 1);
  registry.renew(run.key(), place(1), "relayed", now + 20s);
  EXPECT_TRUE(registry.expire(now + 49s).empty());
  EXPECT_EQ(registry.find(run.key(), place(1))->note, "relayed");
  EXPECT_EQ(registry.expire(now + 50s).size(), 1u);
}

TEST_F(RegistryTest, ALargerSequenceReplacesAndASmallerOneIsOutdated) {
  enrol(run, 1, "a", 5);
  EXPECT_EQ(refusal(run, 1, "a", 4), net::Refusal::outdated);
  EXPECT_EQ(refusal(run, 1, "a", 5, "h", 2), net::Refusal::outdated) << "another record";
  const auto again = std::get<Enrolment>(enrol(run, 1, "a", 5));
  EXPECT_FALSE(again.changed) << "the same once more, after a reconnect";
  const auto newer = std::get<Enrolment>(enrol(run, 1, "a", 6));
  EXPECT_TRUE(newer.changed);
  EXPECT_EQ(newer.version, again.version + 1);
  EXPECT_EQ(registry.members(), 1u);
}

TEST_F(RegistryTest, EveryChangeOfARunCountsOne) {
  const auto first = std::get<Enrolment>(enrol(run, 1));
  EXPECT_GT(first.version, 1000u);
  const auto second = std::get<Enrolment>(enrol(run, 2));
  EXPECT_EQ(second.version, first.version + 1);
  EXPECT_EQ(registry.remove(run.key(), place(1))->change->version, first.version + 2);
  registry.renew(run.key(), place(2), "", now);
  EXPECT_EQ(registry.version(run.key()), first.version + 2);
}

TEST_F(RegistryTest, ARunThatComesBackBeginsAboveWhereItEnded) {
  enrol(run, 1);
  const auto left = registry.remove(run.key(), place(1));
  EXPECT_GT(std::get<Enrolment>(enrol(run, 1, "a", 2)).version, left->change->version);
}

TEST_F(RegistryTest, RunsDoNotSeeEachOther) {
  enrol(run, 1);
  enrol(other, 2);
  EXPECT_EQ(registry.page(run.key(), "", {}, 100000).records.size(), 1u);
  EXPECT_EQ(registry.find(run.key(), place(2)), nullptr);
  EXPECT_FALSE(registry.remove(run.key(), place(2)));
}

TEST_F(RegistryTest, PagesHoldEveryMemberOnce) {
  for (std::uint8_t i = 1; i <= 90; ++i) enrol(run, i, i % 2 == 0 ? "a" : "b");
  std::size_t seen = 0;
  net::Place after;
  for (bool complete = false; !complete;) {
    const Page page = registry.page(run.key(), "", after, 2000);
    ASSERT_FALSE(page.records.empty());
    seen += page.records.size();
    complete = page.complete;
    const auto last = std::get<net::PeerRecord>(net::open(page.records.back()));
    after = {.peer_key = last.peer_key, .role = last.role};
  }
  EXPECT_EQ(seen, 90u);
  EXPECT_EQ(registry.page(run.key(), "a", {}, 1000000).records.size(), 45u);
  EXPECT_EQ(registry.page(run.key(), "", {}, 1).records.size(), 1u) << "never an empty page";
}

TEST_F(RegistryTest, AnAddressHasSoMuchRoomAndNoMore) {
  for (std::uint8_t i = 0; i < 100; ++i) ASSERT_TRUE(enrols(run, i, "a", 1, "x"));
  EXPECT_EQ(refusal(run, 100, "a", 1, "x"), net::Refusal::full);
  EXPECT_TRUE(enrols(run, 100, "a", 1, "y"));
  EXPECT_TRUE(enrols(run, 5, "a", 2, "x")) << "who has a place may renew its record";
  registry.remove(run.key(), place(5));
  EXPECT_TRUE(enrols(run, 101, "a", 1, "x"));
}

TEST_F(RegistryTest, TheTableHasSoMuchRoomAndNoMore) {
  for (std::uint8_t i = 0; i < 200; ++i)
    ASSERT_TRUE(enrols(run, i, "a", 1, std::to_string(i % 10)));
  EXPECT_EQ(refusal(run, 200, "a", 1, "0"), net::Refusal::full);
  EXPECT_TRUE(enrols(run, 200, "a", 1, "z")) << "an address that has none";
  EXPECT_EQ(registry.members(), 200u);
  registry.expire(now + 30s);
  EXPECT_TRUE(enrols(run, 201, "a", 1, "0"));
}

TEST_F(RegistryTest, AKeyHoldsSoManyPlacesAndNoMore) {
  for (std::size_t i = 0; i < kMaxPlacesPerKey; ++i) {
    ASSERT_TRUE(enrols(run, 1, "r" + std::to_string(i)));
  }
  EXPECT_EQ(refusal(other, 1, "one-more"), net::Refusal::full) << "in all runs together";
  EXPECT_TRUE(enrols(run, 2));
}

TEST_F(RegistryTest, AConnectionThatIsGoneIsForgotten) {
  enrol(run, 1);
  registry.forget({"another"});
  EXPECT_EQ(registry.find(run.key(), place(1))->connection, "c");
  registry.forget({"c"});
  EXPECT_EQ(registry.find(run.key(), place(1))->connection, "");
}

TEST_F(RegistryTest, AMemberThatMovesCountsAtItsNewAddress) {
  enrol(run, 1, "a", 1, "x");
  enrol(run, 1, "a", 2, "y");
  for (std::uint8_t i = 2; i < 102; ++i) ASSERT_TRUE(enrols(run, i, "a", 1, "x"));
}

// ---- What neighbours say.

TEST_F(RegistryTest, WhoIsAtANeighbourIsSeenUntilItIsNot) {
  const auto came = registry.mirror(kNear, run.opened(key_of(1), "a"), record(1));
  ASSERT_TRUE(came);
  EXPECT_EQ(came->record, record(1));
  EXPECT_EQ(registry.find(run.key(), place(1)), nullptr) << "it is not here";
  ASSERT_NE(registry.record_of(run.key(), place(1)), nullptr);
  EXPECT_EQ(seen(), 1u);
  EXPECT_EQ(registry.members(), 0u);
  EXPECT_FALSE(registry.knows(key_of(1)));
  EXPECT_FALSE(registry.mirror(kNear, run.opened(key_of(1), "a"), record(1))) << "no change";
  const auto gone = registry.unmirror(kNear, run.key(), place(1));
  ASSERT_TRUE(gone && gone->change);
  EXPECT_FALSE(gone->change->record);
  EXPECT_EQ(gone->change->version, came->version + 1);
  EXPECT_FALSE(gone->elsewhere);
  EXPECT_EQ(registry.runs(), 0u);
  EXPECT_FALSE(registry.unmirror(kNear, run.key(), place(1)));
}

TEST_F(RegistryTest, WhoIsHereAndAtANeighbourIsSeenOnce) {
  enrol(run, 1);
  EXPECT_FALSE(registry.mirror(kNear, run.opened(key_of(1), "a"), record(1)));
  registry.mirror(kNear, run.opened(key_of(2), "a"), record(2));
  const auto again = std::get<Enrolment>(enrol(run, 2));
  EXPECT_TRUE(again.changed) << "it is new here";
  EXPECT_FALSE(again.change) << "and its run has seen it already";
  EXPECT_EQ(seen(), 2u);
  const auto left = registry.remove(run.key(), place(1));
  EXPECT_TRUE(left->elsewhere);
  EXPECT_FALSE(left->change);
  EXPECT_EQ(seen(), 2u);
}

TEST_F(RegistryTest, OfWhatNeighboursSayTheNewestCounts) {
  registry.mirror(kNear, run.opened(key_of(1), "a", 5), record(1, 5));
  EXPECT_FALSE(registry.mirror(kFar, run.opened(key_of(1), "a", 4), record(1, 4)));
  EXPECT_EQ(*registry.record_of(run.key(), place(1)), record(1, 5));
  EXPECT_TRUE(registry.mirror(kFar, run.opened(key_of(1), "a", 6), record(1, 6)));
  EXPECT_EQ(*registry.record_of(run.key(), place(1)), record(1, 6));
  const auto back = registry.unmirror(kFar, run.key(), place(1));
  EXPECT_TRUE(back->elsewhere);
  EXPECT_EQ(back->change->record, record(1, 5));
}

TEST_F(RegistryTest, NoNeighbourSetsAsideWhoIsHere) {
  enrol(run, 1, "a", 5);
  EXPECT_FALSE(registry.mirror(kNear, run.opened(key_of(1), "a", 9), record(1, 9)));
  EXPECT_EQ(*registry.record_of(run.key(), place(1)), record(1, 5));
  EXPECT_TRUE(enrols(run, 1, "a", 6)) << "nor makes it outdated";
}

TEST_F(RegistryTest, ASilentNeighbourIsNotBelievedAndKeptForItsReturn) {
  registry.mirror(kNear, run.opened(key_of(1), "a"), record(1));
  registry.mirror(kNear, run.opened(key_of(2), "a"), record(2));
  registry.mirror(kFar, run.opened(key_of(2), "a"), record(2));
  const auto gone = registry.set_silent(kNear, true);
  ASSERT_EQ(gone.size(), 1u) << "the other is known from another neighbour";
  EXPECT_EQ(gone[0].who, place(1));
  EXPECT_FALSE(gone[0].record);
  EXPECT_EQ(seen(), 1u);
  EXPECT_TRUE(registry.is_anywhere(run.key(), place(1)));
  EXPECT_TRUE(registry.set_silent(kNear, true).empty());
  const auto back = registry.set_silent(kNear, false);
  ASSERT_EQ(back.size(), 1u);
  EXPECT_EQ(back[0].record, record(1));
  EXPECT_EQ(back[0].version, gone[0].version + 1);
}

TEST_F(RegistryTest, NeighboursMembersTakeNobodysRoom) {
  for (std::uint8_t i = 0; i < 200; ++i) {
    registry.mirror(kNear, run.opened(key_of(i), "a"), record(i));
  }
  for (std::uint8_t i = 0; i < 100; ++i) ASSERT_TRUE(enrols(other, i, "b", 1, "x"));
  EXPECT_EQ(refusal(other, 100, "b", 1, "x"), net::Refusal::full);
}

TEST_F(RegistryTest, PagesHoldWhoIsHereAndWhoIsElsewhereInOneOrder) {
  for (std::uint8_t i = 1; i <= 60; ++i) {
    if (i % 3 != 0) enrol(run, i);
    if (i % 3 != 1) registry.mirror(kNear, run.opened(key_of(i), "a"), record(i));
  }
  EXPECT_EQ(seen(700), 60u);
}

TEST_F(RegistryTest, ANeighbourIsToldOfWhoIsHereAndOfNobodyElse) {
  enrol(run, 1);
  registry.mirror(kFar, run.opened(key_of(2), "a"), record(2));
  const auto all = registry.changes_since({}, 100000);
  EXPECT_TRUE(all.afresh);
  EXPECT_TRUE(all.complete);
  ASSERT_EQ(all.records.size(), 1u);
  EXPECT_EQ(all.records[0], record(1));
  EXPECT_FALSE(registry.has_changes_since(all.up_to));
}

TEST_F(RegistryTest, ANeighbourIsToldOfEachChangeSince) {
  enrol(run, 1);
  enrol(run, 2);
  const auto all = registry.changes_since({}, 100000);
  enrol(run, 1, "a", 2);
  enrol(other, 3);
  registry.remove(run.key(), place(2));
  EXPECT_TRUE(registry.has_changes_since(all.up_to));
  const auto since = registry.changes_since({.since = all.up_to}, 100000);
  EXPECT_FALSE(since.afresh);
  ASSERT_EQ(since.records.size(), 2u);
  EXPECT_EQ(since.records[0], record(1, 2));
  ASSERT_EQ(since.gone.size(), 1u);
  EXPECT_EQ(since.gone[0].who, place(2));
  EXPECT_TRUE(registry.changes_since({.since = since.up_to}, 100000).records.empty());
}

TEST_F(RegistryTest, WhoKnowsTheNumbersOfAnEarlierProcessBeginsAnew) {
  enrol(run, 1);
  EXPECT_TRUE(registry.changes_since({.since = 999}, 100000).afresh);
  EXPECT_FALSE(registry.changes_since({.since = 1000}, 100000).afresh);
  EXPECT_TRUE(registry.changes_since({.since = 1002}, 100000).afresh) << "of a later one";
}

TEST_F(RegistryTest, ANeighbourReadsALongListInPages) {
  for (std::uint8_t i = 1; i <= 90; ++i) enrol(run, i);
  std::size_t told = 0;
  int pages = 0;
  net::request::Mirror ask;
  for (bool complete = false; !complete; ++pages) {
    const auto page = registry.changes_since(ask, 2000);
    EXPECT_EQ(page.afresh, pages == 0);
    told += page.records.size();
    complete = page.complete;
    ask = {.since = page.up_to, .listing = page.latest};
  }
  EXPECT_EQ(told, 90u);
  EXPECT_GT(pages, 5);
}

TEST(JournalTest, OfThoseThatAreGoneTheLatestAreKept) {
  Journal journal(100, 2);
  const TestRun run(1);
  const auto member = [&](std::uint8_t i) {
    return Member{run.key(), {.peer_key = key_of(i), .role = "a"}};
  };
  journal.came(member(0));  // 101, and stays
  for (std::uint8_t i = 1; i <= 3; ++i) journal.came(member(i));
  journal.went(member(1));  // 105
  journal.went(member(2));
  EXPECT_TRUE(journal.covers(104));
  journal.went(member(3));
  EXPECT_FALSE(journal.covers(104)) << "that the first is gone cannot be told any more";
  EXPECT_TRUE(journal.covers(105));
  EXPECT_EQ(std::distance(journal.after(0), journal.end()), 3);
  journal.came(member(2));
  EXPECT_TRUE(journal.covers(105));
  EXPECT_EQ(std::distance(journal.after(0), journal.end()), 3) << "each once";
}

TEST_F(RegistryTest, WhatIsRestoredHasAtMostOneLease) {
  const auto record = run.record(key_of(1), "a");
  registry.restore(run.opened(key_of(1), "a"), record, "h", now + 1000s, now);
  EXPECT_EQ(registry.next_expiry(), now + 30s);
  EXPECT_EQ(registry.find(run.key(), place(1))->connection, "");
}

}  // namespace
}  // namespace ptrain::relay
