// A link over loopback: measured within the limits of both sides, one asker at a time; and servers
// and askers that break the rules.

#include "libcommon/probe/link_test.h"

#include <functional>
#include <memory>
#include <stdexcept>
#include <thread>
#include <utility>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/unit/ckpt/error_of.h"
#include "tests/unit/probe/servers.h"

namespace ptrain::probe {
namespace {

using namespace std::chrono_literals;
using ckpt::error_of;
using testing::AllOf;
using testing::HasSubstr;

struct Link : testing::Test {
  SteadyClock clock;
  net::RecordingLog log;

  static LinkTestOptions to(const net::Endpoint& endpoint) {
    LinkTestOptions options;
    options.endpoint = endpoint;
    options.peer = zmq_address(endpoint);
    options.limits = small_limits();
    return options;
  }
  LinkFigures measure(LinkTestOptions options) {
    LinkTest test(std::move(options), log, clock);
    return test.measure().value();
  }
  std::string lie_of(LyingServer::Script script) {
    const LyingServer server(std::move(script));
    return error_of([&] { measure(to(server.endpoint())); }, ErrorKind::corrupt);
  }
};

void eventually(const std::function<bool()>& holds) {
  const auto deadline = std::chrono::steady_clock::now() + 60s;
  while (!holds()) {
    ASSERT_LT(std::chrono::steady_clock::now(), deadline);
    std::this_thread::sleep_for(10ms);
  }
}

TEST_F(Link, BothWaysAreMeasuredWithinTheBudget) {
  const wire::ProbeLimits limits{.bytes = kDefaultBytes, .time = kDefaultTime};
  const RunningServer server(limits);
  LinkTestOptions options = to(server.endpoint());
  options.limits = limits;
  const LinkFigures figures = measure(options);
  EXPECT_GT(figures.idle.count, 50u);
  EXPECT_GT(figures.idle.median, 0ns);
  EXPECT_EQ(figures.route->kind, net::RouteKind::direct);
  for (const auto& way : {figures.to_peer, figures.from_peer}) {
    ASSERT_TRUE(way && way->rate);
    EXPECT_GT(way->rate->bytes_per_s, 0);
    EXPECT_GT(way->bytes.value(), 0u);
    EXPECT_LE(way->bytes, kDefaultBytes);
  }
  eventually([&] { return server.ended().size() == 1; });
  EXPECT_EQ(server.ended()[0].received, figures.to_peer->bytes);
  EXPECT_EQ(server.ended()[0].sent, figures.from_peer->bytes);
}

TEST_F(Link, ASessionIsMeasuredAgain) {
  const RunningServer server(small_limits());
  LinkTestOptions options = to(server.endpoint());
  options.to_peer = false;
  options.coarse = true;
  LinkTest test(options, log, clock);
  for (int i = 0; i < 3; ++i) {
    const auto figures = test.measure();
    ASSERT_TRUE(figures && figures->from_peer);
    EXPECT_FALSE(figures->to_peer);
    EXPECT_TRUE(test.idle_until(clock.now() + 10ms));
  }
}

TEST_F(Link, TheServersLimitsHoldWhateverTheAskerWants) {
  wire::ProbeLimits limits = small_limits();
  limits.bytes = ByteCount(300'000);
  limits.rate_bytes_per_s = 1'000'000;
  const RunningServer server(limits);
  LinkTestOptions options = to(server.endpoint());
  options.limits.bytes = ByteCount(1'000'000'000);
  const auto began = clock.now();
  const LinkFigures figures = measure(options);
  EXPECT_EQ(figures.granted, limits);
  for (const auto& way : {figures.to_peer, figures.from_peer}) {
    EXPECT_LE(way->bytes.value(), 300'000u);
    ASSERT_TRUE(way->rate);
    EXPECT_LE(way->rate->bytes_per_s, 1.1e6);
  }
  EXPECT_GE(clock.now() - began, 400ms);
}

TEST_F(Link, ARateThatWasAskedForIsSaidToBeTheLimit) {
  const RunningServer server(small_limits());
  LinkTestOptions options = to(server.endpoint());
  options.limits.rate_bytes_per_s = 500'000;
  options.limits.bytes = ByteCount(2'000'000);
  options.to_peer = false;
  const LinkFigures figures = measure(options);
  ASSERT_TRUE(figures.from_peer->rate);
  EXPECT_LE(figures.from_peer->rate->bytes_per_s, 550'000);
  if (figures.from_peer->rate->bytes_per_s > 480'000) {
    EXPECT_EQ(figures.from_peer->limited_by, LimitedBy::rate);
  }
}

// An asker that has the place and keeps it, until it is told.
struct PlaceKeeper {
  explicit PlaceKeeper(const net::Endpoint& endpoint, Log& log, const Clock& clock)
      : node(net::seeking_options(introduction()), log, clock), server(node.dial(endpoint)) {
    next<net::Up>();
    order(wire::ProbeReserve{small_limits()});
    next<net::Delivery>();
  }
  template <class Event>
  Event next() {
    const auto deadline = std::chrono::steady_clock::now() + 60s;
    while (std::chrono::steady_clock::now() < deadline) {
      auto event = node.next(100ms);
      if (event && std::holds_alternative<Event>(*event)) return std::get<Event>(std::move(*event));
    }
    throw std::runtime_error("the event did not come");
  }
  void order(const wire::ProbeOrder& order, std::uint64_t test = 1) {
    node.send(server, wire::probe_order_message(test, order));
  }
  void bytes(std::size_t size, std::uint64_t test = 1) {
    node.send(server, wire::probe_bytes_message(test, wire::MutableBuffer(size).freeze()));
  }
  std::string reason_of_dismissal() {
    const auto lost = next<net::Down>();
    return lost.error ? lost.error->what() : "it said goodbye";
  }
  net::SeekingNode node;
  net::WorkerId server;
};

TEST_F(Link, WhileAnotherHasThePlaceItWaitsAndThenSaysSo) {
  const RunningServer server(small_limits());
  PlaceKeeper other(server.endpoint(), log, clock);
  LinkTestOptions options = to(server.endpoint());
  options.timeout = 1s;
  EXPECT_THAT(error_of([&] { measure(options); }, ErrorKind::try_again),
              HasSubstr("measures with another"));
  // When the other is done, it goes on by itself.
  options.timeout = 60s;
  options.coarse = true;
  bool waited = false;
  options.progress = [&](const std::string& what) {
    if (what.find("waits") == std::string::npos) return;
    if (!std::exchange(waited, true)) other.order(wire::ProbeRelease{});
  };
  EXPECT_TRUE(measure(options).to_peer);
  EXPECT_TRUE(waited);
}

TEST_F(Link, WhoLeavesWithoutAWordLeavesThePlace) {
  const RunningServer server(small_limits());
  std::make_unique<PlaceKeeper>(server.endpoint(), log, clock).reset();
  LinkTestOptions options = to(server.endpoint());
  options.coarse = true;
  EXPECT_TRUE(measure(options).to_peer);
}

TEST_F(Link, APeerThatIsNotThereIsNamed) {
  LinkTestOptions options = to(net::parse_endpoint("tcp://127.0.0.1:1"));
  options.timeout = 1s;
  EXPECT_THAT(error_of([&] { measure(options); }, ErrorKind::unavailable),
              HasSubstr("tcp://127.0.0.1:1"));
}

TEST_F(Link, StopEndsItAtOnce) {
  const RunningServer server(small_limits());
  LinkTestOptions options = to(server.endpoint());
  bool begun = false;
  options.progress = [&](const std::string&) { begun = true; };
  options.stop = [&] { return begun; };
  LinkTest test(options, log, clock);
  EXPECT_FALSE(test.measure());
}

// ---- Servers that lie.

TEST_F(Link, AServerThatCountsMoreThanWasSentIsNamed) {
  const std::string lie = lie_of([](std::uint64_t test, const wire::ProbeOrder& order) {
    std::vector<wire::Message> answers;
    if (std::holds_alternative<wire::ProbeReceive>(order)) {
      answers.push_back(probe_report_message(
          test, wire::ProbeArrived{.bytes = ByteCount(1u << 30), .since = {}}));
    }
    return answers;
  });
  EXPECT_THAT(lie, AllOf(HasSubstr("tcp://127.0.0.1:"), HasSubstr("1073741824 bytes")));
}

TEST_F(Link, AServerThatSendsMoreThanWasWantedIsNamed) {
  const std::string lie = lie_of([](std::uint64_t test, const wire::ProbeOrder& order) {
    std::vector<wire::Message> answers;
    if (std::holds_alternative<wire::ProbeReceive>(order)) {
      answers.push_back(wire::probe_bytes_message(test, wire::MutableBuffer(100).freeze()));
      answers.push_back(probe_report_message(test, wire::ProbeSent{ByteCount(1)}));
    }
    return answers;
  });
  EXPECT_THAT(lie, HasSubstr("tcp://127.0.0.1:"));
}

TEST_F(Link, AReportOnAnErrandThatNobodyOrderedIsALie) {
  const std::string lie = lie_of([](std::uint64_t test, const wire::ProbeOrder& order) {
    std::vector<wire::Message> answers;
    if (std::holds_alternative<wire::ProbeReserve>(order)) {
      answers.push_back(probe_report_message(test, wire::ProbeMeasured{.path = "nowhere"}));
    }
    return answers;
  });
  EXPECT_THAT(lie, HasSubstr("nobody ordered"));
}

TEST_F(Link, AServerThatAnswersEchoesThatWereNotAskedForIsNamed) {
  const std::string lie = lie_of([](std::uint64_t test, const wire::ProbeOrder& order) {
    std::vector<wire::Message> answers;
    if (const auto* echo = std::get_if<wire::ProbeEcho>(&order)) {
      answers.push_back(probe_report_message(test, wire::ProbeEcho{echo->number + 1000}));
    }
    return answers;
  });
  EXPECT_THAT(lie, HasSubstr("which was not asked for"));
}

TEST_F(Link, AServerThatSendsWhatIsNoReportIsNamed) {
  const std::string lie = lie_of([](std::uint64_t test, const wire::ProbeOrder& order) {
    std::vector<wire::Message> answers;
    if (std::holds_alternative<wire::ProbeReserve>(order)) {
      answers.push_back(probe_order_message(test, wire::ProbeHalt{}));
    }
    return answers;
  });
  EXPECT_THAT(lie, HasSubstr("no report"));
}

// ---- Askers that break the rules.

struct Askers : Link {
  RunningServer server{small_limits()};
  PlaceKeeper asker{server.endpoint(), log, clock};

  void expect_undisturbed() {
    LinkTestOptions options = to(server.endpoint());
    options.coarse = true;
    EXPECT_TRUE(measure(options).from_peer);
  }
};

TEST_F(Askers, WhoSendsMoreThanWasGrantedIsSentAway) {
  wire::ProbeLimits limits = small_limits();
  limits.bytes = ByteCount(100'000);
  asker.order(wire::ProbeReceive{limits});
  for (int i = 0; i < 3; ++i) asker.bytes(50'000);
  EXPECT_THAT(asker.reason_of_dismissal(), HasSubstr("more than the 100000 bytes"));
  expect_undisturbed();
}

TEST_F(Askers, WhoSendsFasterThanWasGrantedIsSentAway) {
  wire::ProbeLimits limits = small_limits();
  limits.rate_bytes_per_s = 1000;
  asker.order(wire::ProbeReceive{limits});
  for (int i = 0; i < 40; ++i) asker.bytes(50'000);
  EXPECT_THAT(asker.reason_of_dismissal(), HasSubstr("faster than the 1000 bytes a second"));
  expect_undisturbed();
}

TEST_F(Askers, WhoSendsWithoutAnOrderIsSentAway) {
  asker.bytes(100);
  EXPECT_THAT(asker.reason_of_dismissal(), HasSubstr("without an order"));
  expect_undisturbed();
}

TEST_F(Askers, WhoWantsASecondHelpingIsSentAway) {
  wire::ProbeLimits limits = small_limits();
  limits.bytes = ByteCount(10'000);
  asker.order(wire::ProbeSend{.limits = limits, .round_trip = {}});
  asker.next<net::Delivery>();
  asker.order(wire::ProbeSend{.limits = limits, .round_trip = {}}, 2);
  EXPECT_THAT(asker.reason_of_dismissal(), HasSubstr("twice in one test"));
  expect_undisturbed();
}

TEST_F(Askers, WhoOrdersWithoutThePlaceIsSentAway) {
  asker.order(wire::ProbeRelease{});
  asker.order(wire::ProbeEcho{1});
  EXPECT_THAT(asker.reason_of_dismissal(), HasSubstr("not reserved the place"));
  expect_undisturbed();
}

TEST_F(Askers, WhoSendsWhatIsNoOrderIsSentAway) {
  asker.node.send(asker.server, wire::probe_report_message(1, wire::ProbeEcho{1}));
  EXPECT_THAT(asker.reason_of_dismissal(), HasSubstr("no order"));
  expect_undisturbed();
}

TEST_F(Askers, EchoesWithoutEndAreNotAnswered) {
  for (std::uint64_t i = 0; i <= kMaxEchoes; ++i) asker.order(wire::ProbeEcho{i});
  EXPECT_THAT(asker.reason_of_dismissal(), HasSubstr("echoes in one test"));
}

// ---- What a message weighs.

TEST_F(Link, WhatTcpCarriesBesidesAPayloadIsAsTheNodeMetersIt) {
  RunningServer server(small_limits());
  PlaceKeeper asker(server.endpoint(), log, clock);
  asker.order(wire::ProbeReceive{small_limits()});
  const auto overhead = [&] { return asker.node.traffic(asker.server).bulk.tx_overhead.value(); };
  const std::uint64_t before = overhead();
  constexpr int kMessages = 500;
  for (int i = 0; i < kMessages; ++i) asker.bytes(4096);
  eventually([&] { return asker.node.queued(asker.server).value() == 0; });
  // CURVE adds 33 bytes to each of two parts, which the node does not meter.
  const double metered = static_cast<double>(overhead() - before) / kMessages + 2 * 33;
  EXPECT_NEAR(metered, static_cast<double>(kCarriedBesides), 30);
}

}  // namespace
}  // namespace ptrain::probe
