// What is known of the links between all hosts: failures, capacities, the file for the planner and
// what a file of before adds.

#include "libcommon/probe/link_matrix.h"

#include <chrono>
#include <cstddef>
#include <string>
#include <utility>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/unit/ckpt/error_of.h"
#include "tools/probe/links_json.h"
#include "tools/probe/matrix_report.h"

namespace ptrain::probe {
namespace {

using probe_tool::fill_stale;
using probe_tool::to_links_json;
using probe_tool::to_table;
using std::chrono::microseconds;
using testing::HasSubstr;
using testing::Not;

const WallClockTime kAt{std::chrono::seconds(1790000000)};

wire::ProbeMeasured figures(double to, double from) {
  return {.path = "tcp://11.0.0.102:7300",
          .route = "direct",
          .round_trips = {.count = 12,
                          .least = microseconds(20'000),
                          .median = microseconds(20'100),
                          .p99 = microseconds(22'000),
                          .jitter = microseconds(100)},
          .to_peer = {.rate = to, .low = to, .high = to, .steady = true},
          .from_peer = {.rate = from, .low = from, .high = from}};
}

// east, west and attic; the last one is dead.
LinkMatrix sample() {
  LinkMatrix matrix{.hosts = {{.name = "east"}, {.name = "west"}, {.name = "attic"}}, .edges = {}};
  matrix.take(0, 1, figures(5e6, 2e6), kAt);
  matrix.hosts[2].failed = "no answer within 20 s";
  matrix.fail(0, 2, "attic: no answer within 20 s", kAt);
  matrix.fail(1, 2, "attic: no answer within 20 s", kAt);
  matrix.ended = kAt;
  return matrix;
}

TEST(LinkMatrix, AnErrandTellsOfBothWaysAndAFailureOfNone) {
  const LinkMatrix matrix = sample();
  EXPECT_EQ(matrix.edge(0, 1)->rate(), 5e6);
  EXPECT_EQ(matrix.edge(1, 0)->rate(), 2e6);
  EXPECT_EQ(matrix.edge(2, 2), nullptr);
  EXPECT_EQ(matrix.failures(), 4u);
  LinkMatrix silent = sample();
  silent.take(0, 1, figures(0, 2e6), kAt);
  EXPECT_NE(silent.edge(0, 1)->failed, "");
  EXPECT_EQ(silent.edge(1, 0)->failed, "");
}

TEST(LinkMatrix, AHostCarriesItsBestRateLessWhatItLosesWhenAllAreAtWork) {
  LinkMatrix matrix = sample();
  matrix.hosts.push_back({.name = "slow"});
  matrix.take(0, 3, figures(1e6, 1e6), kAt);
  EXPECT_EQ(capacity_of(matrix, 0, Direction::out), 5e6);
  EXPECT_EQ(capacity_of(matrix, 0, Direction::in), 2e6);
  EXPECT_EQ(capacity_of(matrix, 2, Direction::out), std::nullopt);
  // As fast as alone: the slower one was the limit, not what the host shares.
  matrix.edges.at({0, 3}).busy_bytes_per_s = 1e6;
  EXPECT_EQ(capacity_of(matrix, 0, Direction::out), 5e6);
  matrix.edges.at({0, 3}).busy_bytes_per_s = 0.5e6;
  EXPECT_EQ(capacity_of(matrix, 0, Direction::out), 2.5e6);
  EXPECT_EQ(capacity_of(matrix, 3, Direction::in), 0.5e6);
}

TEST(LinkMatrix, TheRingGoesThroughEveryHostThatLives) {
  LinkMatrix matrix = sample();
  EXPECT_TRUE(ring_of(matrix).empty());  // of two
  matrix.hosts.push_back({.name = "north"});
  matrix.take(0, 3, figures(1e6, 1e6), kAt);
  using Ring = std::vector<std::pair<std::size_t, std::size_t>>;
  EXPECT_EQ(ring_of(matrix), (Ring{{0, 1}, {1, 3}, {3, 0}}));
}

TEST(LinksFile, HoldsWhatIsKnownAndWhyTheRestIsNot) {
  const auto json = to_links_json(sample());
  EXPECT_EQ(json["kind"], "links");
  EXPECT_EQ(json["version"], 1);
  EXPECT_EQ(json["time_s"], 1790000000.0);
  ASSERT_EQ(json["hosts"].size(), 3u);
  EXPECT_EQ(json["hosts"][0]["name"], "east");
  EXPECT_EQ(json["hosts"][0]["out_bytes_per_s"], 5e6);
  EXPECT_EQ(json["hosts"][2]["failed"], "no answer within 20 s");
  EXPECT_FALSE(json["hosts"][2].contains("out_bytes_per_s"));
  ASSERT_EQ(json["pairs"].size(), 6u);
  const auto& pair = json["pairs"][0];
  EXPECT_EQ(pair["from"], "east");
  EXPECT_EQ(pair["to"], "west");
  EXPECT_EQ(pair["rate_bytes_per_s"], 5e6);
  EXPECT_NEAR(pair["round_trip_s"].get<double>(), 0.0201, 1e-9);
  EXPECT_EQ(pair["detail"]["route"], "direct");
  EXPECT_FALSE(pair.contains("failed"));
  EXPECT_EQ(json["pairs"][1]["failed"], "attic: no answer within 20 s");
  EXPECT_FALSE(json["pairs"][1].contains("rate_bytes_per_s"));
}

TEST(LinksFile, WhatFailsNowIsTakenFromBeforeAndIsStale) {
  LinkMatrix before = sample();
  before.hosts[2].failed.clear();
  before.take(0, 2, figures(7e6, 8e6), kAt - std::chrono::hours(1));
  LinkMatrix now = sample();
  now.take(0, 1, figures(6e6, 3e6), kAt);
  fill_stale(now, to_links_json(before).dump(), "links.json");
  EXPECT_EQ(now.edge(0, 1)->rate(), 6e6);  // measured now
  EXPECT_FALSE(now.edge(0, 1)->stale);
  EXPECT_EQ(now.edge(0, 2)->rate(), 7e6);
  EXPECT_TRUE(now.edge(0, 2)->stale);
  EXPECT_EQ(now.edge(1, 2)->failed, "attic: no answer within 20 s");  // it had failed then, too
  const auto json = to_links_json(now);
  EXPECT_EQ(json["pairs"][1]["time_s"], 1790000000.0 - 3600);
  EXPECT_EQ(json["pairs"][1]["detail"]["stale"], true);
  EXPECT_THAT(to_table(now), HasSubstr("east to attic: stale, measured at 2026-09-21T"));
}

TEST(LinksFile, AnotherFileIsNamed) {
  LinkMatrix matrix = sample();
  for (const char* text : {"", "{", "[]", "{}", R"({"kind":"links"})", R"({"kind":"x","pairs":[]})",
                           R"({"kind":"links","time_s":-1,"pairs":[]})"}) {
    EXPECT_THAT(ckpt::error_of([&] { fill_stale(matrix, text, "old.json"); }, ErrorKind::corrupt),
                HasSubstr("old.json: no links file"))
        << text;
  }
  // What is no pair is passed over.
  fill_stale(matrix,
             R"({"kind":"links","time_s":1,"pairs":[1,{"from":2},{"from":"east","to":"attic"}]})",
             "old.json");
  EXPECT_EQ(matrix.failures(), 4u);
}

TEST(MatrixTable, HasARowForWhoSendsAndTheReasonOfWhatFailed) {
  const std::string table = to_table(sample());
  EXPECT_THAT(table, HasSubstr("Mbit/s     east     west    attic\n"
                               "east          -     40.0   failed\n"
                               "west      ~16.0        -   failed\n"));
  EXPECT_THAT(table, HasSubstr("attic: failed: no answer within 20 s\n"));
  EXPECT_THAT(table, HasSubstr("east: sends 40.0 Mbit/s and gets 16.0 Mbit/s in all\n"));
  // Said once.
  EXPECT_THAT(table, Not(HasSubstr("east to attic")));
  LinkMatrix matrix = sample();
  matrix.hosts.push_back({.name = "north"});
  matrix.fail(0, 3, "north lies", kAt);
  EXPECT_THAT(to_table(matrix), HasSubstr("east to north, north to east: failed: north lies\n"));
}

}  // namespace
}  // namespace ptrain::probe
