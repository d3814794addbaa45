// Exactly once and in order, whatever the connections do: thousands of random schedules.

#include <gtest/gtest.h>

#include "tests/unit/net/fake_network.h"
#include "tests/unit/net/messages.h"

namespace ptrain::net {
namespace {

constexpr int kMaxSteps = 200000;

wire::MessageKind kind_for(wire::Urgency urgency) {
  return urgency == wire::Urgency::control ? wire::MessageKind::step_report
                                           : wire::MessageKind::activation;
}

// Sends `count` messages each way of each urgency and takes what arrives.
class Traffickers {
 public:
  Traffickers(FakeNetwork& network, std::uint64_t seed, std::uint64_t count, std::size_t largest)
      : network_(network), random_(seed), count_(count), largest_(largest) {}

  void step() {
    for (int i = 0; i < 2; ++i) {
      for (const auto urgency : wire::kAllUrgencies) send(i, urgency);
      take(i);
    }
    network_.step();
  }

  bool done() const {
    for (const auto& side : received_) {
      for (const std::uint64_t got : side) {
        if (got != count_) return false;
      }
    }
    return true;
  }

 private:
  std::size_t size_of(int from, std::uint64_t number) const {
    std::mt19937_64 sizes(number * 2 + static_cast<std::uint64_t>(from));
    return sizes() % (largest_ + 1);
  }

  void send(int from, wire::Urgency urgency) {
    std::uint64_t& number = sent_[from][static_cast<int>(urgency)];
    if (number == count_ || random_() % 3 == 0) return;
    network_.side(from).send(urgency, test_message(static_cast<std::uint32_t>(from), number,
                                                   size_of(from, number), kind_for(urgency)));
    ++number;
  }

  void take(int to) {
    if (random_() % 4 == 0) return;
    while (auto received = network_.side(to).receive()) {
      const auto& [urgency, message] = *received;
      std::uint64_t& number = received_[to][static_cast<int>(urgency)];
      const auto expected = test_message(static_cast<std::uint32_t>(1 - to), number,
                                         size_of(1 - to, number), kind_for(urgency));
      ASSERT_TRUE(holds(message, expected)) << to_string(message.name) << ", expected " << number;
      network_.side(to).consumed(urgency, message_cost(message.payload.size()), network_.now());
      ++number;
    }
  }

  FakeNetwork& network_;
  std::mt19937_64 random_;
  std::uint64_t count_;
  std::size_t largest_;
  std::uint64_t sent_[2][wire::kUrgencies] = {};
  std::uint64_t received_[2][wire::kUrgencies] = {};
};

void run_storm(std::uint64_t seed, Misfortune misfortune, std::uint64_t count,
               std::size_t largest) {
  FakeNetwork network(fake_options(0, 100 + seed), fake_options(1, 200 + seed), misfortune, seed,
                      1 + seed % 3);
  Traffickers traffickers(network, seed, count, largest);
  int steps = 0;
  for (; !traffickers.done() && steps < kMaxSteps; ++steps) {
    traffickers.step();
    for (int i = 0; i < 2; ++i) {
      ASSERT_FALSE(network.side(i).failure()) << network.side(i).failure()->what();
    }
    if (testing::Test::HasFatalFailure()) return;
  }
  ASSERT_TRUE(traffickers.done()) << "not all arrived after " << steps << " ms";
  for (int i = 0; i < 2; ++i) network.side(i).say_goodbye(false, "");
  for (steps = 0; steps < kMaxSteps; ++steps) {
    if (network.side(0).drained() && network.side(1).drained()) break;
    network.step();
  }
  ASSERT_LT(steps, kMaxSteps) << "the goodbye was never heard";
}

TEST(SessionStorm, NothingIsLostDoubledOrSwappedOverBadConnections) {
  for (std::uint64_t seed = 1; seed <= 2000; ++seed) {
    SCOPED_TRACE(seed);
    std::mt19937_64 random(seed);
    const auto up_to = [&](double most) {
      return random() % 3 == 0 ? 0.0 : std::uniform_real_distribution<>(0, most)(random);
    };
    run_storm(seed,
              {.lose = up_to(0.02),
               .twice = up_to(0.02),
               .damage = up_to(0.05),
               .break_link = up_to(0.02)},
              20, 2000);
    if (HasFatalFailure()) return;
  }
}

TEST(SessionStorm, MessagesOfManyFramesSurviveToo) {
  for (std::uint64_t seed = 1; seed <= 20; ++seed) {
    SCOPED_TRACE(seed);
    run_storm(seed, {.lose = 0.003, .twice = 0.003, .damage = 0.01, .break_link = 0.005}, 4,
              5u << 20);
    if (HasFatalFailure()) return;
  }
}

TEST(SessionStorm, ConnectionsThatFlapAllTheTimeStillCarryEverything) {
  for (std::uint64_t seed = 1; seed <= 50; ++seed) {
    SCOPED_TRACE(seed);
    run_storm(seed, {.break_link = 0.1}, 100, 200);
    if (HasFatalFailure()) return;
  }
}

}  // namespace
}  // namespace ptrain::net
