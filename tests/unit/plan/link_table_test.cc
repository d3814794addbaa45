#include "libcommon/plan/link_table.h"

#include <string>

#include <gtest/gtest.h>

#include "libcommon/base/error.h"

namespace ptrain::plan {
namespace {

LinkTable table_of(const std::string& hosts, const std::string& sites, const std::string& pairs) {
  return LinkTable(read_links(R"({"kind":"links","version":1,"time_s":1,"hosts":[)" + hosts +
                                  R"(],"sites":[)" + sites + R"(],"pairs":[)" + pairs + "]}",
                              "links.json"));
}

constexpr const char* kThree =
    R"({"name":"a","site":"x","out_bytes_per_s":100,"in_bytes_per_s":400},
       {"name":"b","site":"x","out_bytes_per_s":200,"in_bytes_per_s":300},{"name":"c"})";

TEST(LinkTable, APairOverridesTheSites) {
  const LinkTable table =
      table_of(kThree, R"({"from":"x","to":"c","round_trip_s":0.5,"rate_bytes_per_s":7})",
               R"({"from":"a","to":"c","round_trip_s":0.25,"rate_bytes_per_s":8})");
  EXPECT_EQ(table.way(0, 2).round_trip_s, 0.25);
  EXPECT_EQ(table.way(0, 2).rate_bytes_per_s, 8);
  EXPECT_FALSE(table.way(0, 2).estimated);
  EXPECT_EQ(table.way(1, 2).round_trip_s, 0.5);
  EXPECT_EQ(table.way(1, 2).rate_bytes_per_s, 7);
  EXPECT_FALSE(table.way(1, 2).estimated);
}

TEST(LinkTable, WhatIsMissingIsEstimatedAndMarked) {
  const LinkTable table =
      table_of(kThree, "", R"({"from":"a","to":"c","round_trip_s":0.25,"rate_bytes_per_s":8})");
  EXPECT_EQ(table.way(2, 0).round_trip_s, 0.25) << "that of the other way";
  EXPECT_EQ(table.way(2, 0).rate_bytes_per_s, 200) << "less than the 400 that a gets";
  EXPECT_TRUE(table.way(2, 0).estimated);
  EXPECT_EQ(table.way(1, 2).round_trip_s, 0.25) << "the median of what c has to others";
}

TEST(LinkTable, ARoundTripOfWhichNothingIsKnownIsALongOne) {
  const LinkTable table = table_of(kThree, "", "");
  EXPECT_EQ(table.way(0, 1).round_trip_s, kUnknownRoundTripS);
  EXPECT_EQ(table.way(0, 1).rate_bytes_per_s, 100);
  EXPECT_TRUE(table.way(0, 1).estimated);
}

TEST(LinkTable, AHostWithoutRatesHasThoseOfItsPairsThenOfItsSiteThenOfAll) {
  const LinkTable pairs = table_of(kThree, "", R"({"from":"c","to":"a","rate_bytes_per_s":8},
                              {"from":"c","to":"b","rate_bytes_per_s":9})");
  EXPECT_EQ(pairs.rates(2).out_bytes_per_s, 9);
  EXPECT_TRUE(pairs.rates(2).estimated);
  EXPECT_FALSE(pairs.rates(0).estimated);
  const LinkTable sites = table_of(kThree, R"({"from":"c","to":"x","rate_bytes_per_s":5})", "");
  EXPECT_EQ(sites.rates(2).out_bytes_per_s, 5);
  const LinkTable all = table_of(kThree, "", "");
  EXPECT_EQ(all.rates(2).out_bytes_per_s, 200);
  EXPECT_EQ(all.rates(2).in_bytes_per_s, 400);
  const LinkTable near = table_of(
      R"({"name":"a","site":"x","out_bytes_per_s":1,"in_bytes_per_s":2},{"name":"b","site":"x"},
         {"name":"c","out_bytes_per_s":50,"in_bytes_per_s":60},
         {"name":"d","out_bytes_per_s":70,"in_bytes_per_s":80})",
      "", "");
  EXPECT_EQ(near.rates(1).out_bytes_per_s, 1);
  EXPECT_EQ(near.rates(1).in_bytes_per_s, 2);
}

TEST(LinkTable, AFailedWayIsImpossibleBothWays) {
  const LinkTable table = table_of(kThree, "", R"({"from":"a","to":"b","failed":"reset"})");
  EXPECT_FALSE(table.way(0, 1).possible);
  EXPECT_FALSE(table.way(1, 0).possible);
  EXPECT_TRUE(table.way(0, 2).possible);
}

TEST(LinkTable, NoRateAtAllIsAnError) {
  EXPECT_THROW(
      table_of(R"({"name":"a"},{"name":"b"})", "", R"({"from":"a","to":"b","round_trip_s":1})"),
      Error);
}

TEST(LinkTable, FindsHostsByName) {
  const LinkTable table = table_of(kThree, "", "");
  EXPECT_EQ(table.hosts(), 3U);
  EXPECT_EQ(table.find("b"), 1U);
  EXPECT_FALSE(table.find("x"));
}

}  // namespace
}  // namespace ptrain::plan
