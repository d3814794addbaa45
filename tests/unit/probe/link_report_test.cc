// What is printed of a link: for people, a line of it, and for programs.

#include "tools/probe/link_report.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace ptrain::probe_tool {
namespace {

using namespace std::chrono_literals;
using testing::HasSubstr;
using testing::Not;

// 20 Mbit/s to the peer, known well; from it only at a glance.
LinkReport sample() {
  LinkReport report;
  report.peer = "east";
  report.interface = probe::NetworkInterface{.name = "wg0", .tunnel = true};
  report.figures.began = std::chrono::sys_days(std::chrono::year(2026) / 11 / 29) + 90s;
  report.figures.path = "tcp://10.0.0.2:7300";
  report.figures.route = net::Route{.kind = net::RouteKind::direct};
  report.figures.idle = {.count = 100, .least = 50ms, .median = 51ms, .p99 = 60ms, .jitter = 500us};
  report.figures.to_peer = probe::WayFigures{.coarse_bytes_per_s = 2.4e6,
                                             .rate = probe::RateEstimate{.bytes_per_s = 2.5e6,
                                                                         .low = 2.45e6,
                                                                         .high = 2.55e6,
                                                                         .slow_start = 300ms,
                                                                         .bins = 20,
                                                                         .steady = true},
                                             .bytes = ByteCount(7'000'000),
                                             .time = 2800ms,
                                             .loaded = report.figures.idle};
  report.figures.from_peer =
      probe::WayFigures{.coarse_bytes_per_s = 1e6, .bytes = ByteCount(1000), .time = 1s};
  return report;
}

TEST(LinkReport, ATableSaysWhatAPersonAsksFirst) {
  const std::string table = to_table(sample());
  EXPECT_THAT(table, HasSubstr("tcp://10.0.0.2:7300, direct, through wg0, a tunnel\n"));
  EXPECT_THAT(table, HasSubstr("51.00 ms median, 60.00 ms p99, 0.50 ms jitter\n"));
  EXPECT_THAT(table, HasSubstr("20.00 Mbit/s, 19.60 to 20.40 by 95 % (7.0 MB in 2.8 s)\n"));
  EXPECT_THAT(table, HasSubstr("about 8.0 Mbit/s"));
  EXPECT_THAT(table, Not(HasSubstr("--max")));
}

TEST(LinkReport, ATableSaysWhyARateIsNotTheLinks) {
  LinkReport report = sample();
  report.figures.path_changes = 1;
  report.figures.to_peer->limited_by = probe::LimitedBy::rate;
  report.figures.from_peer->limited_by = probe::LimitedBy::bytes;
  const std::string table = to_table(report);
  EXPECT_THAT(table, HasSubstr("--max-rate allows no more"));
  EXPECT_THAT(table, HasSubstr("within --max-bytes"));
  EXPECT_THAT(table, HasSubstr("changed while it was measured"));
}

TEST(LinkReport, ALineHasItsMoment) {
  EXPECT_EQ(to_line(sample()),
            "2026-11-29T00:01:30Z  51.00 ms round trip, 0.50 ms jitter, 20.00 Mbit/s to, "
            "8.0 Mbit/s from");
  LinkReport report = sample();
  report.figures.to_peer.reset();
  EXPECT_THAT(to_line(report), HasSubstr("- Mbit/s to"));
}

TEST(LinkReport, JsonHasWhatIsKnownAndNothingElse) {
  const auto json = to_json(sample());
  EXPECT_EQ(json["time"], "2026-11-29T00:01:30Z");
  EXPECT_EQ(json["route"], "direct");
  EXPECT_EQ(json["interface"], "wg0");
  EXPECT_EQ(json["tunnel"], true);
  EXPECT_DOUBLE_EQ(json["round_trip"]["jitter_s"].get<double>(), 0.0005);
  EXPECT_DOUBLE_EQ(json["to_peer"]["rate_bytes_per_s"].get<double>(), 2.5e6);
  EXPECT_EQ(json["to_peer"]["limited_by"], "nothing");
  EXPECT_FALSE(json["from_peer"].contains("rate_bytes_per_s"));
  EXPECT_FALSE(json["from_peer"].contains("loaded_round_trip"));
  LinkReport report = sample();
  report.interface.reset();
  report.figures.from_peer.reset();
  const auto less = to_json(report);
  EXPECT_FALSE(less.contains("interface"));
  EXPECT_FALSE(less.contains("from_peer"));
}

}  // namespace
}  // namespace ptrain::probe_tool
