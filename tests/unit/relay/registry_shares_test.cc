// A registry that has no room: who gives way, and who does not. And whom an issuer has revoked.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/unit/relay/run_of_members.h"
#include "tools/relay/control/registry.h"

namespace ptrain::relay {
namespace {

using namespace std::chrono_literals;

struct SharesTest : testing::Test {
  std::variant<Enrolment, net::Refusal> enrol(std::uint8_t peer, const std::string& role,
                                              const std::string& host,
                                              const std::string& connection = "c") {
    now += 1ms;
    return registry.enrol(run.opened(key_of(peer), role), run.record(key_of(peer), role),
                          connection, host, now);
  }
  bool enrols(std::uint8_t peer, const std::string& role, const std::string& host,
              const std::string& connection = "c") {
    return std::holds_alternative<Enrolment>(enrol(peer, role, host, connection));
  }
  bool is_here(std::uint8_t peer, const std::string& role) const {
    return registry.find(run.key(), {.peer_key = key_of(peer), .role = role}) != nullptr;
  }

  TimePoint now{};
  TestRun run{1};
  Registry registry{{.lease = 30s, .members = 12, .members_per_host = 8}, 1000};
};

TEST_F(SharesTest, FewKeysDoNotLockTheirAddress) {
  for (const char* role : {"a", "b", "c", "d"}) {
    EXPECT_TRUE(enrols(1, role, "192.0.2.1"));
    EXPECT_TRUE(enrols(2, role, "192.0.2.1"));
  }
  const auto result = enrol(3, "a", "192.0.2.1");
  ASSERT_TRUE(std::holds_alternative<Enrolment>(result));
  const auto& displaced = std::get<Enrolment>(result).displaced;
  ASSERT_TRUE(displaced);
  EXPECT_EQ(displaced->who.role, "d") << "the latest of who has most";
  EXPECT_TRUE(displaced->change && !displaced->change->record);
  EXPECT_EQ(registry.members(), 8u);
}

TEST_F(SharesTest, KeysWithOnePlaceEachKeepIt) {
  for (std::uint8_t i = 1; i <= 8; ++i) EXPECT_TRUE(enrols(i, "a", "192.0.2.1"));
  EXPECT_FALSE(enrols(9, "a", "192.0.2.1"));
  // But for those that have gone.
  registry.forget({"c"});
  EXPECT_TRUE(enrols(9, "a", "192.0.2.1"));
}

TEST_F(SharesTest, OneSixtyFourIsOneAddress) {
  for (std::uint8_t i = 1; i <= 8; ++i) {
    EXPECT_TRUE(enrols(i, "a", "2001:db8:0:1::" + std::to_string(i)));
  }
  EXPECT_FALSE(enrols(9, "a", "2001:db8:0:1::9"));
  EXPECT_TRUE(enrols(9, "a", "2001:db8:0:2::9"));
}

TEST_F(SharesTest, NoAddressTakesTheShareOfAnother) {
  for (std::uint8_t i = 1; i <= 8; ++i) enrols(i, "a", "192.0.2.1");
  for (std::uint8_t i = 11; i <= 14; ++i) enrols(i, "a", "192.0.2.2");
  EXPECT_EQ(registry.members(), 12u);
  // The table is full: the largest gives way until the shares are equal.
  for (std::uint8_t i = 21; i <= 24; ++i) EXPECT_TRUE(enrols(i, "a", "192.0.2.3")) << int{i};
  EXPECT_FALSE(enrols(25, "a", "192.0.2.3"));
  EXPECT_FALSE(enrols(15, "a", "192.0.2.2"));
  for (std::uint8_t i = 11; i <= 14; ++i) EXPECT_TRUE(is_here(i, "a"));
  for (std::uint8_t i = 21; i <= 24; ++i) EXPECT_TRUE(is_here(i, "a"));
}

// ---- Revocations.

TEST_F(SharesTest, WhoIsRevokedLeavesAndDoesNotComeBack) {
  enrols(1, "a", "h");
  enrols(1, "b", "h");
  enrols(2, "a", "h");
  std::vector<Departure> departures;
  EXPECT_TRUE(registry.revoke(run.revocation(key_of(1)), departures));
  EXPECT_EQ(departures.size(), 2u);
  EXPECT_EQ(std::get<net::Refusal>(enrol(1, "a", "h")), net::Refusal::revoked);
  EXPECT_TRUE(is_here(2, "a"));
  EXPECT_FALSE(registry.revoke(run.revocation(key_of(1)), departures)) << "that is known";
}

TEST_F(SharesTest, WhatANeighbourHasOfTheRevokedIsNotSeen) {
  const net::Place who{.peer_key = key_of(1), .role = "a"};
  registry.mirror(key_of(200), run.opened(key_of(1), "a"), run.record(key_of(1), "a"));
  EXPECT_NE(registry.record_of(run.key(), who), nullptr);
  std::vector<Departure> departures;
  registry.revoke(run.revocation(key_of(1)), departures);
  ASSERT_EQ(departures.size(), 1u);
  EXPECT_EQ(registry.record_of(run.key(), who), nullptr);
  EXPECT_EQ(registry.reflections(), 0u);
  registry.mirror(key_of(200), run.opened(key_of(1), "a"), run.record(key_of(1), "a"));
  EXPECT_EQ(registry.record_of(run.key(), who), nullptr);
}

TEST_F(SharesTest, NeighboursAreToldOfRevocationsFromTheBeginningAndLater) {
  enrols(2, "a", "h");
  std::vector<Departure> departures;
  registry.revoke(run.revocation(key_of(1)), departures);
  const auto all = registry.changes_since({.since = 0}, 10000);
  EXPECT_EQ(all.revocations, std::vector{run.revocation(key_of(1))});
  EXPECT_EQ(all.records.size(), 1u);
  registry.revoke(run.revocation(key_of(3)), departures);
  const auto later = registry.changes_since({.since = all.up_to}, 10000);
  EXPECT_EQ(later.revocations, std::vector{run.revocation(key_of(3))});
  EXPECT_TRUE(later.records.empty());
}

TEST_F(SharesTest, OfOneRunSoManyRevocationsAreKeptAndNoMore) {
  std::vector<Departure> departures;
  for (std::uint8_t i = 0; i < kMaxRevocationsOfRun; ++i) {
    EXPECT_TRUE(registry.revoke(run.revocation(key_of(i)), departures));
  }
  EXPECT_FALSE(registry.revoke(run.revocation(key_of(kMaxRevocationsOfRun)), departures));
}

}  // namespace
}  // namespace ptrain::relay
