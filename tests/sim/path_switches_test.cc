// Sessions that change between relayed and punched paths, thousands of times on virtual time,
// because the paths fall silent, break and come back: nothing is lost, doubled or swapped.

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstdlib>
#include <random>
#include <string>

#include <gtest/gtest.h>

#include "tests/unit/net/fake_routes.h"
#include "tests/unit/net/messages.h"

namespace ptrain::net {
namespace {

using namespace std::chrono_literals;
using wire::Urgency;

constexpr Route kPunched{.kind = RouteKind::punched};
constexpr Route kThroughRelay{.kind = RouteKind::relayed};
constexpr std::uint64_t kSwitchesOfOne = 100;
constexpr int kMostDisturbances = 60;

wire::MessageKind kind_of(Urgency urgency) {
  return urgency == Urgency::control ? wire::MessageKind::step_report
                                     : wire::MessageKind::activation;
}

// Two sessions that talk all the time.
class Conversation {
 public:
  explicit Conversation(std::uint64_t seed)
      : random_(seed),
        routes_(route_options(0), route_options(1),
                {{.route = kPunched, .latency = 5ms, .redial = 50ms},
                 {.route = kThroughRelay, .latency = 20ms, .redial = 50ms}},
                seed) {}

  std::uint64_t switches() {
    std::uint64_t most = 0;
    for (int side = 0; side < 2; ++side) {
      most = std::max(most, routes_.side(side).choice_of(wire::Purpose::bulk).changes());
    }
    return most;
  }

  int disturbed() const { return disturbed_; }

  // One path is out of order for a while, in a way that chance chooses; the other one works.
  void disturb() {
    ++disturbed_;
    FakeRoute& path = routes_.route(random_() % 4 == 0 ? 1 : 0);
    const std::size_t number = &path == &routes_.route(0) ? 0 : 1;
    const auto kind = random_() % 3;
    if (kind == 0) path.stalled = true;
    if (kind == 1) path.up = false;
    if (kind >= 1) routes_.cut(number);
    talk(1ms * (200 + random_() % 3000));
    path.stalled = false;
    path.up = true;
    talk(1ms * (1500 + random_() % 2000));
  }

  void talk(Duration duration) {
    for (const TimePoint end = routes_.now() + duration; routes_.now() < end;) {
      if (routes_.now().time_since_epoch() % 20ms == Duration{}) say();
      routes_.step();
      hear();
      if (testing::Test::HasFatalFailure()) return;
    }
  }

  void finish() {
    for (int i = 0; i < 600 && heard_ != said_; ++i) talk_without_saying(100ms);
    EXPECT_EQ(heard_, said_) << "something was lost";
  }

 private:
  using Counts = std::array<std::array<std::uint64_t, 2>, 2>;  // by who said it, and the urgency

  static std::size_t size_of(std::uint64_t number) { return (number * 37) % 5000; }
  void say() {
    for (std::uint32_t from = 0; from < 2; ++from) {
      for (const Urgency urgency : {Urgency::control, Urgency::pipeline}) {
        std::uint64_t& number = said_[from][static_cast<std::size_t>(urgency)];
        routes_.side(static_cast<int>(from))
            .send(urgency, test_message(from, number, size_of(number), kind_of(urgency)));
        ++number;
      }
    }
  }
  void hear() {
    for (int to = 0; to < 2; ++to) {
      while (auto received = routes_.side(to).receive()) {
        const auto& [urgency, message] = *received;
        std::uint64_t& number =
            heard_[static_cast<std::size_t>(1 - to)][static_cast<std::size_t>(urgency)];
        const auto expected = test_message(static_cast<std::uint32_t>(1 - to), number,
                                           size_of(number), kind_of(urgency));
        ASSERT_TRUE(holds(message, expected))
            << to_string(message.name) << " in place of number " << number;
        routes_.side(to).consumed(urgency, message_cost(message.payload.size()), routes_.now());
        ++number;
      }
    }
  }
  void talk_without_saying(Duration duration) {
    for (const TimePoint end = routes_.now() + duration; routes_.now() < end;) {
      routes_.step();
      hear();
      if (testing::Test::HasFatalFailure()) return;
    }
  }

  std::mt19937_64 random_;
  FakeRoutes routes_;
  int disturbed_ = 0;
  Counts said_{};
  Counts heard_{};
};

// SIM_SWITCHES=10000, say, is more than the build's own number.
std::uint64_t wanted_switches() {
  const char* text = std::getenv("SIM_SWITCHES");
  return text == nullptr ? PTRAIN_PATH_SWITCHES : std::stoull(text);
}

TEST(PathSwitches, ThousandsLoseDoubleAndSwapNothing) {
  const std::uint64_t wanted = wanted_switches();
  std::uint64_t switches = 0;
  for (std::uint64_t seed = 1; switches < wanted; ++seed) {
    ASSERT_LT(seed, 20 * wanted / kSwitchesOfOne) << "only " << switches << " switches";
    Conversation conversation(seed);
    conversation.talk(2s);
    while (conversation.switches() < kSwitchesOfOne) {
      conversation.disturb();
      if (HasFatalFailure()) {
        ADD_FAILURE() << "seed " << seed;
        return;
      }
      // A path that fails often is trusted more slowly each time: others go on.
      if (conversation.disturbed() == kMostDisturbances) break;
    }
    conversation.finish();
    switches += conversation.switches();
    if (HasFailure()) {
      ADD_FAILURE() << "seed " << seed;
      return;
    }
  }
}

}  // namespace
}  // namespace ptrain::net
