// A session over several routes: which one it uses, when it moves, and that nobody notices.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/unit/net/fake_routes.h"
#include "tests/unit/net/messages.h"

namespace ptrain::net {
namespace {

using namespace std::chrono_literals;
using wire::Purpose;
using wire::Urgency;

constexpr Route kDirect{.kind = RouteKind::direct};
constexpr Route kRelayed{.kind = RouteKind::relayed};
constexpr Route kSecondRelay{.kind = RouteKind::relayed, .number = 1};

wire::MessageKind kind_for(Urgency urgency) {
  return urgency == Urgency::control ? wire::MessageKind::step_report
                                     : wire::MessageKind::activation;
}

std::size_t size_of(std::uint64_t number) { return (number * 37) % 3000; }

// Sends numbered messages both ways of two urgencies and takes what arrives.
class Numbered {
 public:
  explicit Numbered(FakeRoutes& network) : network_(network) {}

  void send(int from, Urgency urgency) {
    std::uint64_t& number = sent_[from][static_cast<int>(urgency)];
    network_.side(from).send(urgency, test_message(static_cast<std::uint32_t>(from), number,
                                                   size_of(number), kind_for(urgency)));
    ++number;
  }
  void send_everywhere() {
    for (int from = 0; from < 2; ++from) {
      for (const Urgency urgency : {Urgency::control, Urgency::pipeline}) send(from, urgency);
    }
  }

  // What arrives is the next of its urgency, whole.
  void take() {
    for (int to = 0; to < 2; ++to) {
      while (auto received = network_.side(to).receive()) {
        const auto& [urgency, message] = *received;
        std::uint64_t& number = received_[to][static_cast<int>(urgency)];
        const auto expected = test_message(static_cast<std::uint32_t>(1 - to), number,
                                           size_of(number), kind_for(urgency));
        ASSERT_TRUE(holds(message, expected)) << to_string(message.name) << " not " << number;
        network_.side(to).consumed(urgency, message_cost(message.payload.size()), network_.now());
        ++number;
        last_arrival_ = network_.now();
      }
    }
  }

  bool complete() const {
    for (int i = 0; i < 2; ++i) {
      for (int urgency = 0; urgency < 2; ++urgency) {
        if (received_[1 - i][urgency] != sent_[i][urgency]) return false;
      }
    }
    return true;
  }
  std::uint64_t count() const {
    return received_[0][0] + received_[0][1] + received_[1][0] + received_[1][1];
  }
  TimePoint last_arrival() const { return last_arrival_; }

 private:
  FakeRoutes& network_;
  std::uint64_t sent_[2][2] = {};
  std::uint64_t received_[2][2] = {};
  TimePoint last_arrival_{};
};

struct SessionRoutes : testing::Test {
  // Direct and relayed, the sessions with their default patience.
  FakeRoutes network{route_options(0),
                     route_options(1),
                     {{.route = kDirect, .latency = 5ms, .redial = 50ms},
                      {.route = kRelayed, .latency = 20ms, .redial = 50ms}}};
  FakeRoute& direct = network.route(0);
  FakeRoute& relayed = network.route(1);
  Numbered numbered{network};

  std::optional<Route> used(int side, Purpose purpose = Purpose::bulk) {
    return network.side(side).choice_of(purpose).route();
  }
  std::string why(int side) { return network.side(side).choice_of(Purpose::bulk).why(); }
  std::uint64_t changes(int side) { return network.side(side).choice_of(Purpose::bulk).changes(); }
  // As step(), with a message each way of each every tenth millisecond.
  void talk(Duration duration) {
    for (const TimePoint end = network.now() + duration; network.now() < end;) {
      if (network.now().time_since_epoch() % 10ms == Duration{}) numbered.send_everywhere();
      network.step();
      numbered.take();
      if (HasFatalFailure()) return;
    }
  }
  void start_relayed() {
    direct.up = false;
    network.run(200ms);
    ASSERT_EQ(used(0), kRelayed);
    ASSERT_EQ(used(1), kRelayed);
  }
};

TEST_F(SessionRoutes, StartsOnTheFirstThatWorks) {
  start_relayed();
  EXPECT_EQ(why(0), "the first that worked");
  EXPECT_EQ(changes(0), 0u);
}

TEST_F(SessionRoutes, ABetterKindIsTakenOnceItHasProvedItself) {
  start_relayed();
  direct.up = true;
  network.run(700ms);
  EXPECT_EQ(used(0), kRelayed) << "too early";
  EXPECT_EQ(used(1), kRelayed) << "too early";
  network.run(2s);
  for (int side = 0; side < 2; ++side) {
    EXPECT_EQ(used(side), kDirect);
    EXPECT_EQ(used(side, Purpose::control), kDirect);
    EXPECT_EQ(why(side), "direct is better than relayed");
    EXPECT_EQ(changes(side), 1u);
  }
}

TEST_F(SessionRoutes, AWorseKindIsKeptWarmAndNotTaken) {
  network.run(10s);
  EXPECT_EQ(used(0), kDirect);
  EXPECT_EQ(changes(0), 0u) << "whichever came first";
}

TEST_F(SessionRoutes, APathThatPassesOnlySmallPacketsIsNeverTrusted) {
  start_relayed();
  direct.largest_frame = 1400;
  direct.up = true;
  talk(30s);
  EXPECT_EQ(used(0), kRelayed);
  EXPECT_EQ(changes(0), 0u);
}

TEST_F(SessionRoutes, APathThatStallsIsLeftLongBeforeItsConnectionBreaks) {
  talk(5s);
  ASSERT_EQ(used(0), kDirect);
  direct.stalled = true;
  numbered.send_everywhere();
  const TimePoint last = numbered.last_arrival();
  // The other path is asked after half the patience what this one still delivered.
  talk(1700ms);
  EXPECT_EQ(used(0), kRelayed);
  EXPECT_EQ(used(1), kRelayed);
  EXPECT_EQ(why(0), "direct stalled");
  EXPECT_LT(network.now() - numbered.last_arrival(), 100ms) << "messages flow again";
  EXPECT_TRUE(last < numbered.last_arrival());
}

TEST_F(SessionRoutes, TheGapOfAStallIsWellBelowThreeSecondsWhereverItFalls) {
  for (int i = 0; i < 20; ++i) {
    FakeRoutes fresh(route_options(0), route_options(1),
                     {{.route = kDirect, .latency = 5ms}, {.route = kRelayed, .latency = 20ms}});
    // Of a path that carried data before it is known how fast it answers.
    const bool known = i % 2 == 1;
    fresh.run(1s);
    if (known) send(fresh.side(1), test_message(1, 0, 100));
    fresh.run(2s + i * 53ms);
    ASSERT_EQ(take(fresh.side(0)).has_value(), known);
    fresh.route(0).stalled = true;
    const TimePoint stalled = fresh.now();
    send(fresh.side(1), test_message(1, 1, 100));
    while (!take(fresh.side(0)) && fresh.now() < stalled + 10s) fresh.step();
    EXPECT_LT(fresh.now() - stalled, known ? 1700ms : 2200ms) << i;
  }
}

TEST_F(SessionRoutes, AnIdleSessionNoticesAStallToo) {
  network.run(5s);
  ASSERT_EQ(used(0), kDirect);
  direct.stalled = true;
  network.run(3s);
  EXPECT_EQ(used(0), kRelayed);
  EXPECT_EQ(used(0, Purpose::control), kRelayed);
}

TEST_F(SessionRoutes, AStallWithoutAnAlternativeIsWaitedOut) {
  relayed.up = false;
  talk(2s);
  direct.stalled = true;
  network.run(5s);
  EXPECT_EQ(used(0), kDirect);
  direct.stalled = false;
  network.run(500ms);
  numbered.take();
  EXPECT_TRUE(numbered.complete());
  EXPECT_EQ(network.side(0).reconnects(), 0u);
}

// The only path is dead for a while: as long as TCP would repeat what is under way on its own, and
// much longer.
TEST_F(SessionRoutes, AfterAnOutageOfTheOnlyPathMessagesFlowAgainAtOnce) {
  for (const Duration outage : {1s, 2s, 3s, 5s, 10s, 20s, 59s, 250s}) {
    SCOPED_TRACE(seconds(outage));
    FakeRoutes only(route_options(0), route_options(1),
                    {{.route = kRelayed, .latency = 40ms, .given_up_after = 2300ms}});
    Numbered messages(only);
    only.run(3s);
    only.route(0).stalled = true;
    for (int i = 0; i < 5; ++i) {
      messages.send_everywhere();
      only.run(outage / 5);
    }
    only.route(0).stalled = false;
    const TimePoint up = only.now();
    while (!messages.complete() && only.now() < up + 5s) {
      only.step();
      messages.take();
      if (HasFatalFailure()) return;
    }
    EXPECT_TRUE(messages.complete());
    // One attempt to dial may have just begun; then hellos, and what they ask for.
    EXPECT_LE(only.now() - up, kShortAttempt + 4 * 40ms);
    EXPECT_EQ(only.side(0).state(), Session::State::open);
    EXPECT_EQ(only.side(1).state(), Session::State::open);
  }
}

TEST_F(SessionRoutes, AnOutageOfMinutesEndsASessionAndAHangUpOfSecondsDoes) {
  const auto silent_for = [](bool silent, Duration absence) {
    FakeRoutes only(route_options(0), route_options(1),
                    {{.route = kDirect, .latency = 5ms, .given_up_after = 2300ms}});
    only.run(3s);
    only.route(0).stalled = silent;
    only.route(0).up = silent;
    if (!silent) only.cut(0);
    only.run(absence);
    return only.side(1).failure().has_value();
  };
  EXPECT_FALSE(silent_for(false, 4900ms));
  EXPECT_TRUE(silent_for(false, 5100ms));
  EXPECT_FALSE(silent_for(true, 2300ms + 299s));
  EXPECT_TRUE(silent_for(true, 2300ms + 301s));
}

// Its process hangs, and the kernel below it goes on accepting connections.
TEST_F(SessionRoutes, APeerWhoseHostAnswersInItsPlaceIsSilentAndNotOutOfReach) {
  const auto lost_after = [](Duration between_answers) -> std::optional<Duration> {
    FakeRoutes only(route_options(0), route_options(1), {{.route = kDirect, .latency = 5ms}});
    only.run(3s);
    const TimePoint begin = only.now();
    only.route(0).stalled = true;
    for (TimePoint answer = begin + 16s; only.now() < begin + 60s;) {
      only.step();
      if (HasFatalFailure()) return std::nullopt;
      if (only.now() >= answer) {
        only.side(1).host_answered(only.now());
        answer += between_answers;
      }
      if (only.side(1).failure()) return only.now() - begin;
    }
    return std::nullopt;
  };
  const auto after = lost_after(kAttemptTimeout);
  ASSERT_TRUE(after);
  EXPECT_GE(seconds(*after), 29);
  EXPECT_LE(seconds(*after), 36);
  // A link that comes and goes.
  EXPECT_FALSE(lost_after(kAnswersOfHost + 1s));
}

TEST_F(SessionRoutes, AHostThatAnswersIsNoNewsOfAPeerThatWorks) {
  for (int i = 0; i < 60; ++i) {
    network.run(1s);
    network.side(1).host_answered(network.now());
  }
  EXPECT_EQ(network.side(1).state(), Session::State::open);
}

TEST_F(SessionRoutes, ALinkThatIsSlowIsNotTakenForDead) {
  // A frame of 1 MiB takes half a second, and sixteen of them queue up.
  direct.bytes_per_ms = relayed.bytes_per_ms = 2000;
  network.run(3s);
  ASSERT_EQ(used(1), kDirect);
  send(network.side(1), test_message(1, 0, 16u << 20));
  for (int i = 0; i < 20000 && !take(network.side(0)); ++i) network.step();
  EXPECT_EQ(changes(1), 0u);
  EXPECT_LT(seconds(network.now() - TimePoint{}), 20);
}

// As behind a home's router whose queue holds seconds.
TEST_F(SessionRoutes, WhereAWayTakesSecondsASessionBeginsAndGoesOnAfterItsConnectionsBroke) {
  direct.up = false;
  relayed.latency = 2500ms;
  network.run(20s);
  ASSERT_EQ(used(0), kRelayed);
  ASSERT_EQ(used(1), kRelayed);
  numbered.send_everywhere();
  network.run(6s);
  numbered.take();
  EXPECT_TRUE(numbered.complete());
  network.cut(1);
  numbered.send_everywhere();
  network.run(20s);  // a hello each way, and then what waited
  numbered.take();
  EXPECT_TRUE(numbered.complete());
}

TEST_F(SessionRoutes, TwoPathsThatAreBothSlowGainPatience) {
  // Four seconds a frame, far beyond what is known of either at first.
  direct.bytes_per_ms = relayed.bytes_per_ms = 250;
  network.run(3s);
  send(network.side(1), test_message(1, 0, 8u << 20));
  bool arrived = false;
  for (int i = 0; i < 120000 && !arrived; ++i) {
    network.step();
    arrived = take(network.side(0)).has_value();
  }
  EXPECT_TRUE(arrived);
  EXPECT_LE(changes(1), 4u);
}

TEST_F(SessionRoutes, ARouteThatComesAndGoesIsTriedMoreAndMoreRarely) {
  network.run(100ms);
  for (int i = 0; i < 100; ++i) {  // ten minutes
    direct.up = true;
    talk(4s);
    direct.up = false;
    network.cut(0);
    talk(2s);
  }
  EXPECT_GE(changes(0), 2u);
  EXPECT_LE(changes(0), 16u) << "a hundred times it seemed to be there";
  EXPECT_TRUE(numbered.count() > 0);
}

TEST_F(SessionRoutes, ASecondRelayTakesOverAtOnceWhenTheFirstDies) {
  FakeRoutes two(route_options(0), route_options(1),
                 {{.route = kRelayed, .latency = 20ms}, {.route = kSecondRelay, .latency = 20ms}});
  two.run(3s);
  const Route first = two.side(1).choice_of(Purpose::bulk).route().value();
  const std::size_t index = first == kRelayed ? 0 : 1;
  two.route(index).up = false;
  two.cut(index);
  send(two.side(1), test_message(1, 0, 100));
  two.run(100ms);
  EXPECT_TRUE(take(two.side(0)));
  EXPECT_NE(two.side(1).choice_of(Purpose::bulk).route(), first);
}

TEST_F(SessionRoutes, OnlyAllowedKindsCarryData) {
  auto options = route_options(0);
  options.allowed_kinds = RouteKinds::only(RouteKind::relayed);
  FakeRoutes one_sided(options, route_options(1),
                       {{.route = kDirect}, {.route = kRelayed, .latency = 20ms}});
  one_sided.run(5s);
  EXPECT_EQ(one_sided.side(0).choice_of(Purpose::bulk).route(), kRelayed);
  EXPECT_EQ(one_sided.side(1).choice_of(Purpose::bulk).route(), kDirect) << "it chooses itself";
  send(one_sided.side(0), test_message(0, 0, 100));
  send(one_sided.side(1), test_message(1, 0, 100));
  one_sided.run(100ms);
  EXPECT_TRUE(take(one_sided.side(0)));
  EXPECT_TRUE(take(one_sided.side(1)));
}

TEST_F(SessionRoutes, ASessionWithoutAnAllowedPathEnds) {
  start_relayed();
  network.side(0).allow(RouteKinds::only(RouteKind::direct), network.now());
  EXPECT_FALSE(used(0));
  network.run(6s);
  ASSERT_TRUE(network.side(0).failure());
  EXPECT_THAT(network.side(0).failure()->what(), testing::HasSubstr("is gone"));
}

TEST_F(SessionRoutes, ControlIsNotBehindBulkOnASlowRelayedPath) {
  direct.up = false;
  relayed.bytes_per_ms = 1000;
  network.run(500ms);
  send(network.side(1), test_message(1, 0, 16u << 20));  // sixteen seconds of it
  network.run(1s);
  send(network.side(1), test_message(1, 1, 1000, wire::MessageKind::step_report));
  network.run(50ms);
  const auto message = take(network.side(0));
  ASSERT_TRUE(message);
  EXPECT_EQ(message->name.kind, wire::MessageKind::step_report);
}

TEST_F(SessionRoutes, TheRoundTripIsThatOfTheRouteInUse) {
  network.run(10s);
  ASSERT_EQ(used(0), kDirect);
  const auto round_trip = network.side(0).round_trip();
  ASSERT_TRUE(round_trip);
  EXPECT_GE(*round_trip, 10ms);
  EXPECT_LE(*round_trip, 20ms);
}

// ---- The storm: links of two kinds open, die, stall and change places a thousand times.

class Storm {
 public:
  explicit Storm(std::uint64_t seed)
      : random_(seed),
        network_(options(0), options(1),
                 {{.route = kDirect, .latency = 2ms, .redial = 20ms},
                  {.route = kRelayed, .latency = 7ms, .redial = 30ms},
                  {.route = kSecondRelay, .latency = 9ms, .redial = 30ms}},
                 seed),
        numbered_(network_),
        changes_at_(network_.routes()) {}

  void rage(Duration duration) {
    for (const TimePoint end = network_.now() + duration; network_.now() < end;) {
      misfortune();
      if (random_() % 2 == 0) {
        numbered_.send(static_cast<int>(random_() % 2),
                       random_() % 4 == 0 ? Urgency::control : Urgency::pipeline);
      }
      step();
      if (testing::Test::HasFatalFailure()) return;
    }
  }

  void end() {
    for (std::size_t i = 0; i < network_.routes(); ++i) {
      network_.route(i).up = true;
      network_.route(i).stalled = false;
    }
    for (int i = 0; i < 2; ++i) network_.side(i).allow(RouteKinds::all(), network_.now());
    for (int i = 0; i < 60000 && !numbered_.complete(); ++i) {
      step();
      if (testing::Test::HasFatalFailure()) return;
    }
    ASSERT_TRUE(numbered_.complete()) << "something was lost";
    for (int i = 0; i < 2; ++i) {
      EXPECT_EQ(network_.side(i).refused_frames(), 0u) << "no path damages or reorders here";
      network_.side(i).say_goodbye(false, "");
    }
    network_.run(5s);
    EXPECT_TRUE(network_.side(0).drained());
    EXPECT_TRUE(network_.side(1).drained());
  }

  std::uint64_t messages() const { return numbered_.count(); }
  std::uint64_t flips() {
    std::uint64_t sum = 0;
    for (int i = 0; i < 2; ++i) {
      for (const Purpose purpose : wire::kAllPurposes) {
        sum += network_.side(i).choice_of(purpose).changes();
      }
    }
    return sum;
  }

 private:
  static SessionOptions options(std::uint32_t self) {
    SessionOptions options = route_options(self);
    options.ack_delay = 5ms;
    options.ping_interval = 40ms;
    options.greeting_timeout = 200ms;
    options.stall_timeout = 800ms;
    options.silence_timeout = options.reconnect_timeout = 600s;
    options.patience = 40ms;
    options.trial_time = 30ms;
    return options;
  }

  void step() {
    network_.step();
    numbered_.take();
    for (int i = 0; i < 2; ++i) {
      ASSERT_FALSE(network_.side(i).failure()) << network_.side(i).failure()->what();
    }
  }

  void misfortune() {
    for (std::size_t i = 0; i < network_.routes(); ++i) {
      if (network_.now() < changes_at_[i]) continue;
      changes_at_[i] = network_.now() + std::chrono::milliseconds(random_() % 1500);
      FakeRoute& route = network_.route(i);
      const auto what = random_() % 8;
      route.up = what >= 2;
      route.stalled = what == 2 || what == 3;
      if (what < 2 || what == 4) network_.cut(i);
    }
    if (random_() % 300 == 0) {
      const RouteKinds kinds[] = {RouteKinds::all(), RouteKinds::only(RouteKind::direct),
                                  RouteKinds::only(RouteKind::relayed)};
      network_.side(static_cast<int>(random_() % 2)).allow(kinds[random_() % 3], network_.now());
    }
  }

  std::mt19937_64 random_;
  FakeRoutes network_;
  Numbered numbered_;
  std::vector<TimePoint> changes_at_;
};

TEST(SessionRoutesStorm, NothingIsLostDoubledOrSwappedOverAThousandFlips) {
  std::uint64_t flips = 0;
  std::uint64_t messages = 0;
  for (std::uint64_t seed = 1; seed <= 20; ++seed) {
    SCOPED_TRACE(seed);
    Storm storm(seed);
    storm.rage(20s);
    if (HasFatalFailure()) return;
    storm.end();
    if (HasFatalFailure()) return;
    flips += storm.flips();
    messages += storm.messages();
  }
  RecordProperty("flips", std::to_string(flips));
  RecordProperty("messages", std::to_string(messages));
  EXPECT_GE(flips, 1000u) << "or the test shows nothing";
  EXPECT_GE(messages, 100000u);
}

}  // namespace
}  // namespace ptrain::net
