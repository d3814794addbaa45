// Orders and reports of probes as bytes and back, and bytes that are neither.

#include "libcommon/wire/probe.h"

#include <random>
#include <string>
#include <variant>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace ptrain::wire {
namespace {

using std::chrono::microseconds;
using testing::HasSubstr;

const ProbeLimits kLimits{.bytes = ByteCount(25'000'000),
                          .time = std::chrono::seconds(10),
                          .rate_bytes_per_s = 1'000'000};

const ProbeWay kWay{.rate = 2.5e6,
                    .low = 2.4e6,
                    .high = 2.6e6,
                    .coarse = 2.2e6,
                    .steady = true,
                    .limited_by = kProbeLimitNames - 1,
                    .bytes = ByteCount(3'000'000),
                    .time = microseconds(1'200'000),
                    .loaded_median = microseconds(70'000),
                    .loaded_p99 = microseconds(90'000)};
const ProbeMeasured kMeasured{.path = "tcp://10.0.0.2:7300",
                              .route = "direct",
                              .round_trips = {.count = 12,
                                              .least = microseconds(50'000),
                                              .median = microseconds(50'400),
                                              .p99 = microseconds(60'000),
                                              .jitter = microseconds(300)},
                              .to_peer = kWay,
                              .from_peer = {}};

TEST(ProbeProtocol, AnErrandsBoundsHoldOnBothSides) {
  const auto order = [](const ProbeOrder& value) {
    return std::holds_alternative<ProbeOrder>(read_probe_order(probe_order_message(1, value)));
  };
  const std::string longest(kMaxProbeNameChars, 'a');
  EXPECT_TRUE(order(ProbeSeek{std::vector(kMaxProbeSought, longest)}));
  EXPECT_FALSE(order(ProbeSeek{std::vector(kMaxProbeSought + 1, longest)}));
  EXPECT_TRUE(order(ProbeErrand{.to = longest, .limits = kLimits}));
  EXPECT_FALSE(order(ProbeErrand{.to = longest + "a", .limits = kLimits}));
  const auto report = [](const ProbeMeasured& value) {
    return std::holds_alternative<ProbeReport>(read_probe_report(probe_report_message(1, value)));
  };
  ProbeMeasured measured = kMeasured;
  measured.to_peer.rate = kMaxProbeRate;
  EXPECT_TRUE(report(measured));
  measured.to_peer.rate = 2 * kMaxProbeRate;
  EXPECT_FALSE(report(measured));
  measured.to_peer.rate = -1;
  EXPECT_FALSE(report(measured));
  measured = kMeasured;
  measured.from_peer.limited_by = kProbeLimitNames;
  EXPECT_FALSE(report(measured));
  // What is too long to say is cut.
  measured = {.failure = std::string(kMaxProbeTextBytes + 1, 'x')};
  EXPECT_TRUE(report(measured));
}

TEST(ProbeProtocol, EveryOrderComesBackAsItWas) {
  const ProbeOrder orders[] = {
      ProbeReserve{kLimits},
      ProbeEcho{~std::uint64_t{0}},
      ProbeReceive{kLimits},
      ProbeSend{.limits = kLimits, .round_trip = microseconds(50'000)},
      ProbeHalt{},
      ProbeRelease{},
      ProbeSeek{{}},
      ProbeSeek{{"east", "west"}},
      ProbeErrand{.to = "east", .limits = kLimits, .to_peer = false, .beside = true}};
  for (const ProbeOrder& order : orders) {
    const Message message = probe_order_message(77, order);
    EXPECT_EQ(message.name.step, Step(77));
    EXPECT_EQ(urgency_of(message.name.kind), Urgency::control);
    EXPECT_LE(message.payload.size(), kMaxProbeOrderBytes);
    EXPECT_EQ(std::get<ProbeOrder>(read_probe_order(message)), order) << order.index();
  }
}

TEST(ProbeProtocol, EveryReportComesBackAsItWas) {
  const ProbeReport reports[] = {
      ProbeGranted{kLimits},
      ProbeBusy{microseconds(7)},
      ProbeEcho{3},
      ProbeArrived{.bytes = ByteCount(kMaxProbeBudgetBytes), .since = kMaxProbeTime},
      ProbeSent{ByteCount(9)},
      kMeasured,
      ProbeMeasured{.failure = "nobody is there", .busy = true}};
  for (const ProbeReport& report : reports) {
    const Message message = probe_report_message(5, report);
    EXPECT_LE(message.payload.size(), kMaxProbeReportBytes);
    EXPECT_EQ(std::get<ProbeReport>(read_probe_report(message)), report) << report.index();
  }
}

TEST(ProbeProtocol, WhatNobodyMeansIsRefusedJustPastItsBound) {
  const auto order = [](const ProbeOrder& value) {
    const auto read = read_probe_order(probe_order_message(1, value));
    const auto* malformed = std::get_if<Malformed>(&read);
    return malformed == nullptr ? "" : malformed->why;
  };
  ProbeLimits limits = kLimits;
  limits.bytes = ByteCount(kMaxProbeBudgetBytes);
  limits.time = kMaxProbeTime;
  EXPECT_EQ(order(ProbeReserve{limits}), "");
  limits.bytes = ByteCount(kMaxProbeBudgetBytes + 1);
  EXPECT_THAT(order(ProbeReserve{limits}), HasSubstr("1099511627777 bytes"));
  limits.bytes = ByteCount(1);
  limits.time = kMaxProbeTime + microseconds(1);
  EXPECT_THAT(order(ProbeReceive{limits}), HasSubstr("3600000001 microseconds"));
  EXPECT_EQ(order(ProbeSend{.limits = kLimits, .round_trip = kMaxProbeRoundTrip}), "");
  EXPECT_THAT(
      order(ProbeSend{.limits = kLimits, .round_trip = kMaxProbeRoundTrip + microseconds(1)}),
      HasSubstr("60000001 microseconds"));
  const auto report =
      read_probe_report(probe_report_message(1, ProbeSent{ByteCount(kMaxProbeBudgetBytes + 1)}));
  EXPECT_TRUE(std::holds_alternative<Malformed>(report));
}

TEST(ProbeProtocol, AMessageOfAnotherKindIsNoOrder) {
  const auto order = read_probe_order(probe_report_message(1, ProbeEcho{1}));
  EXPECT_THAT(std::get<Malformed>(order).why, HasSubstr("no order: probe report"));
  const auto report = read_probe_report(probe_bytes_message(1, {}));
  EXPECT_THAT(std::get<Malformed>(report).why, HasSubstr("no report: probe bytes"));
}

TEST(ProbeProtocol, BytesThatAreNeitherAreRefused) {
  std::mt19937 random(1);
  for (int i = 0; i < 2000; ++i) {
    Message message = probe_order_message(1, ProbeSend{.limits = kLimits, .round_trip = {}});
    std::vector<std::byte> bytes(message.payload.bytes().begin(), message.payload.bytes().end());
    bytes[random() % bytes.size()] ^= static_cast<std::byte>(1 + random() % 255);
    bytes.resize(1 + random() % bytes.size());
    message.payload = Buffer::copy_of(bytes);
    read_probe_order(message);  // a value or a refusal
    message.name.kind = MessageKind::probe_report;
    read_probe_report(message);
  }
  Message long_one = probe_order_message(1, ProbeHalt{});
  long_one.payload = std::move(MutableBuffer(kMaxProbeOrderBytes + 8)).freeze();
  EXPECT_THAT(std::get<Malformed>(read_probe_order(long_one)).why,
              HasSubstr(std::to_string(kMaxProbeOrderBytes + 8) + " bytes"));
}

}  // namespace
}  // namespace ptrain::wire
