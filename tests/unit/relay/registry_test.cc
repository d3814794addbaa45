#include "tools/relay/control/registry.h"

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
  EXPECT_EQ(registry.remove(run.key(), place(1))->version, first.version + 2);
  registry.renew(run.key(), place(2), "", now);
  EXPECT_EQ(registry.version(run.key()), first.version + 2);
}

TEST_F(RegistryTest, ARunThatComesBackBeginsAboveWhereItEnded) {
  enrol(run, 1);
  const auto left = registry.remove(run.key(), place(1));
  EXPECT_GT(std::get<Enrolment>(enrol(run, 1, "a", 2)).version, left->version);
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
  EXPECT_EQ(refusal(run, 200, "a", 1, "z"), net::Refusal::full);
  registry.expire(now + 30s);
  EXPECT_TRUE(enrols(run, 200, "a", 1, "z"));
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
  registry.forget("another");
  EXPECT_EQ(registry.find(run.key(), place(1))->connection, "c");
  registry.forget("c");
  EXPECT_EQ(registry.find(run.key(), place(1))->connection, "");
}

TEST_F(RegistryTest, AMemberThatMovesCountsAtItsNewAddress) {
  enrol(run, 1, "a", 1, "x");
  enrol(run, 1, "a", 2, "y");
  for (std::uint8_t i = 2; i < 102; ++i) ASSERT_TRUE(enrols(run, i, "a", 1, "x"));
}

TEST_F(RegistryTest, WhatIsRestoredHasAtMostOneLease) {
  const auto record = run.record(key_of(1), "a");
  registry.restore(run.opened(key_of(1), "a"), record, "h", now + 1000s, now);
  EXPECT_EQ(registry.next_expiry(), now + 30s);
  EXPECT_EQ(registry.find(run.key(), place(1))->connection, "");
}

}  // namespace
}  // namespace ptrain::relay
