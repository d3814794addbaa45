#include "libcommon/net/session.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/unit/net/fake_network.h"
#include "tests/unit/net/mesh_fixture.h"

namespace ptrain::net {
namespace {

using namespace std::chrono_literals;
using testing::AllOf;
using testing::HasSubstr;
using State = Session::State;
using wire::Channel;

constexpr Misfortune kNone{};

void run(FakeNetwork& network, Duration duration) {
  for (Duration passed{}; passed < duration; passed += 1ms) network.step();
}

void expect_failure(Session& session, ErrorKind kind, const testing::Matcher<std::string>& text) {
  ASSERT_TRUE(session.failure());
  EXPECT_EQ(static_cast<int>(session.failure()->kind()), static_cast<int>(kind));
  EXPECT_THAT(std::string(session.failure()->what()), text);
}

TEST(Session, OpensOnBothSidesOnceTheHellosAreExchanged) {
  FakeNetwork network(fake_options(0, 1), fake_options(1, 2), kNone, 1);
  EXPECT_EQ(network.side(0).state(), State::waiting);
  run(network, 50ms);
  EXPECT_EQ(network.side(0).state(), State::open);
  EXPECT_EQ(network.side(1).state(), State::open);
}

TEST(Session, ASlowReceiverBoundsWhatArrives) {
  FakeNetwork network(fake_options(0, 1), fake_options(1, 2), kNone, 1);
  constexpr std::size_t kBytes = 300000;
  for (int i = 0; i < 100; ++i) network.side(1).send(test_message(1, i, kBytes));
  run(network, 500ms);
  std::uint64_t arrived = 0;
  std::uint64_t count = 0;
  while (network.side(0).receive()) {  // taken out, yet never reported as consumed
    arrived += message_cost(kBytes);
    ++count;
  }
  EXPECT_LE(arrived, kMinCreditWindow);
  EXPECT_GT(arrived, kMinCreditWindow / 2);
  for (std::uint64_t i = 0; i < count; ++i) {
    network.side(0).consumed(Channel::bulk, message_cost(kBytes), network.now());
  }
  run(network, 500ms);
  EXPECT_TRUE(network.side(0).receive()) << "and goes on when it catches up";
}

TEST(Session, ConsumingTellsAPeerWithoutCreditAtOnce) {
  auto options0 = fake_options(0, 1);
  options0.ack_delay = 10s;
  FakeNetwork network(options0, fake_options(1, 2), kNone, 1);
  run(network, 50ms);
  constexpr std::size_t kBytes = 2 * wire::kMaxFrameBytes;
  network.side(1).send(test_message(1, 1, kBytes));
  network.side(1).send(test_message(1, 2, 100));
  run(network, 20ms);
  ASSERT_TRUE(network.side(0).receive());
  ASSERT_FALSE(network.side(0).receive()) << "the window is full";
  network.side(0).consumed(Channel::bulk, message_cost(kBytes), network.now());
  run(network, 5ms);
  EXPECT_TRUE(network.side(0).receive());
}

TEST(Session, AMessageLargerThanTheWindowPasses) {
  FakeNetwork network(fake_options(0, 1), fake_options(1, 2), kNone, 1);
  const auto message = test_message(1, 1, 10 * kMinCreditWindow);
  network.side(1).send(message);
  run(network, 2000ms);
  const auto got = network.side(0).receive();
  ASSERT_TRUE(got);
  EXPECT_TRUE(holds(*got, message));
}

TEST(Session, ControlOvertakesBulk) {
  FakeNetwork network(fake_options(0, 1), fake_options(1, 2), kNone, 1);
  run(network, 50ms);
  network.side(1).send(test_message(1, 1, 10 * kMinCreditWindow));
  run(network, 3ms);
  network.side(1).send(test_message(1, 2, 10, wire::MessageKind::step_report));
  std::vector<wire::MessageKind> order;
  for (int i = 0; i < 2000 && order.size() < 2; ++i) {
    network.step();
    while (auto message = network.side(0).receive()) order.push_back(message->name.kind);
  }
  EXPECT_THAT(order,
              testing::ElementsAre(wire::MessageKind::step_report, wire::MessageKind::activation));
}

TEST(Session, AFlapShorterThanTheTimeoutIsInvisible) {
  auto options0 = fake_options(0, 1);
  auto options1 = fake_options(1, 2);
  options0.reconnect_timeout = options1.reconnect_timeout = 500ms;
  FakeNetwork network(options0, options1, kNone, 1);
  run(network, 50ms);
  network.side(1).send(test_message(1, 1, 100));
  network.break_all_paths();
  run(network, 400ms);
  EXPECT_TRUE(network.side(0).receive());
  EXPECT_EQ(network.side(0).state(), State::open);
  EXPECT_GE(network.side(0).reconnects(), 1u);
}

TEST(Session, APeerWithoutAPathForTooLongIsGone) {
  auto options0 = fake_options(0, 1);
  options0.reconnect_timeout = 500ms;
  FakeNetwork network(options0, fake_options(1, 2), kNone, 1);
  run(network, 50ms);
  network.stop_dialling();
  network.break_all_paths();
  run(network, 490ms);
  EXPECT_EQ(network.side(0).state(), State::open);
  run(network, 20ms);
  expect_failure(network.side(0), ErrorKind::unavailable, HasSubstr("stage 1 is gone"));
}

TEST(Session, APeerThatSaysNothingOverAnOpenPathIsSilent) {
  auto options0 = fake_options(0, 1);
  options0.silence_timeout = 400ms;
  options0.stall_timeout = 10s;
  FakeNetwork network(options0, fake_options(1, 2), kNone, 1);
  run(network, 50ms);
  network.set_misfortune({.lose = 1});
  run(network, 500ms);
  expect_failure(network.side(0), ErrorKind::unavailable, HasSubstr("stage 1 has been silent"));
}

TEST(Session, APathWithoutProgressIsReplaced) {
  FakeNetwork network(fake_options(0, 1), fake_options(1, 2), kNone, 1);
  run(network, 50ms);
  network.set_misfortune({.lose = 1});
  run(network, 600ms);
  network.set_misfortune(kNone);
  network.side(1).send(test_message(1, 1, 100));
  run(network, 300ms);
  EXPECT_TRUE(network.side(0).receive());
}

TEST(Session, AnIdleSessionStaysOpen) {
  auto options0 = fake_options(0, 1);
  auto options1 = fake_options(1, 2);
  options0.silence_timeout = options1.silence_timeout = 400ms;
  FakeNetwork network(options0, options1, kNone, 1);
  run(network, 5s);
  EXPECT_EQ(network.side(0).state(), State::open);
  EXPECT_EQ(network.side(1).state(), State::open);
  EXPECT_EQ(network.side(0).reconnects(), 0u);
}

TEST(Session, ARetransmissionNeedsNoReconnection) {
  FakeNetwork network(fake_options(0, 1), fake_options(1, 2), kNone, 1);
  run(network, 50ms);
  network.set_misfortune({.lose = 0.3, .damage = 0.3});
  for (int i = 0; i < 20; ++i) network.side(1).send(test_message(1, i, 1000));
  run(network, 3s);
  int got = 0;
  while (network.side(0).receive()) ++got;
  EXPECT_EQ(got, 20);
}

TEST(Session, BothSidesSeeBothValuesOfAMismatch) {
  auto other = fake_options(1, 2);
  other.introduction.job_hash = "other";
  FakeNetwork network(fake_options(0, 1), other, kNone, 1);
  run(network, 50ms);
  expect_failure(network.side(0), ErrorKind::usage,
                 AllOf(HasSubstr("job hash other"), HasSubstr("ours is h")));
  expect_failure(network.side(1), ErrorKind::usage,
                 AllOf(HasSubstr("job hash h"), HasSubstr("ours is other")));
}

// A path on which the test itself plays the peer.
class PlayedPeer {
 public:
  explicit PlayedPeer(Session& session) : session_(session) {}

  void open(std::uint64_t path, const wire::Hello& hello) {
    session_.path_opened(PathId(path), Route{}, hello.channel, now);
    session_.arrived(PathId(path), hello, now);
  }
  void say(std::uint64_t path, wire::Frame frame) {
    session_.arrived(PathId(path), std::move(frame), now);
  }
  std::vector<Session::Outgoing> heard() {
    std::vector<Session::Outgoing> frames;
    while (auto outgoing = session_.next_frame(now)) frames.push_back(*outgoing);
    return frames;
  }

  TimePoint now{};

 private:
  Session& session_;
};

wire::Hello hello_from(std::uint32_t stage, std::uint64_t incarnation, Channel channel) {
  return {.version = wire::kProtocolVersion,
          .run = "r",
          .job_hash = "h",
          .stage_count = 2,
          .data_fingerprint = "",
          .stage = StageIndex(stage),
          .incarnation = incarnation,
          .channel = channel,
          .received = {.control = {.credit_limit = 1u << 20}, .bulk = {.credit_limit = 1u << 20}}};
}

struct Played : testing::Test {
  Session session{fake_options(0, 1), TimePoint{}};
  PlayedPeer peer{session};
};

TEST_F(Played, AnotherProtocolVersionIsNamed) {
  auto hello = hello_from(1, 7, Channel::control);
  hello.version = 9;
  peer.open(1, hello);
  expect_failure(session, ErrorKind::usage,
                 AllOf(HasSubstr("protocol version 9"),
                       HasSubstr("ours is " + std::to_string(wire::kProtocolVersion))));
}

TEST_F(Played, APeerThatClaimsOurOwnStageIsNamed) {
  peer.open(1, hello_from(0, 7, Channel::control));
  expect_failure(session, ErrorKind::usage, HasSubstr("says that it is stage 0, and so are we"));
}

TEST_F(Played, APeerThatClaimsAThirdStageIsNamed) {
  peer.open(1, hello_from(5, 7, Channel::control));
  expect_failure(session, ErrorKind::usage, HasSubstr("says that it is stage 5"));
}

TEST_F(Played, ARestartBeforeAnythingWasExchangedIsNoFailure) {
  peer.open(1, hello_from(1, 7, Channel::control));
  session.path_lost(PathId(1), peer.now);
  peer.open(2, hello_from(1, 8, Channel::control));
  EXPECT_FALSE(session.failure());
}

TEST_F(Played, ARestartAfterMessagesWereExchangedIsAFailure) {
  peer.open(1, hello_from(1, 7, Channel::control));
  session.send(test_message(0, 1, 10, wire::MessageKind::step_verdict));
  peer.heard();
  peer.say(1, wire::Acknowledgement{.control = {.next = 1}});
  session.path_lost(PathId(1), peer.now);
  peer.open(2, hello_from(1, 8, Channel::control));
  expect_failure(session, ErrorKind::unavailable, HasSubstr("was restarted"));
}

// The second process claims the stage; the first answers the ping that asks whether it lives.
void claim_twice(Session& session, PlayedPeer& peer) {
  peer.open(1, hello_from(1, 7, Channel::control));
  peer.heard();
  peer.open(2, hello_from(1, 8, Channel::control));
  EXPECT_FALSE(session.failure()) << "the first may have died just now";
  const auto frames = peer.heard();
  session.take_discarded_paths(peer.now);
  ASSERT_EQ(frames.size(), 1u);
  const auto* ping = std::get_if<wire::Ping>(&frames[0].frame);
  ASSERT_NE(ping, nullptr);
  peer.say(1, wire::Acknowledgement{.pong = ping->number});
  peer.open(3, hello_from(1, 8, Channel::control));
}

TEST_F(Played, TheSameStageTwiceEndsAStartingJob) {
  claim_twice(session, peer);
  expect_failure(session, ErrorKind::usage, HasSubstr("stage 1 was started twice"));
}

TEST_F(Played, TheSameStageTwiceIsTurnedAwayFromARunningJob) {
  session.settle();
  claim_twice(session, peer);
  EXPECT_FALSE(session.failure());
  EXPECT_EQ(session.take_warnings().size(), 1u);
  const auto frames = peer.heard();
  ASSERT_EQ(frames.size(), 1u);
  EXPECT_EQ(frames[0].path, PathId(3));
  EXPECT_TRUE(std::holds_alternative<wire::Goodbye>(frames[0].frame));
}

TEST_F(Played, AStrangersJobDoesNotEndARunningOne) {
  peer.open(1, hello_from(1, 7, Channel::control));
  session.settle();
  auto hello = hello_from(1, 8, Channel::control);
  hello.job_hash = "other";
  peer.open(2, hello);
  EXPECT_EQ(session.state(), State::open);
  EXPECT_EQ(session.take_warnings().size(), 1u);
}

TEST_F(Played, NothingCountsBeforeTheHello) {
  session.path_opened(PathId(1), Route{}, Channel::control, peer.now);
  peer.say(1, wire::Acknowledgement{.control = {.next = 99}});
  EXPECT_EQ(session.state(), State::waiting);
  EXPECT_EQ(session.refused_frames(), 1u);
}

TEST_F(Played, AnImpossibleAcknowledgementIsABreach) {
  peer.open(1, hello_from(1, 7, Channel::control));
  peer.say(1, wire::Acknowledgement{.control = {.next = 99}});
  expect_failure(session, ErrorKind::corrupt, HasSubstr("frame 99"));
  const auto frames = peer.heard();
  EXPECT_TRUE(std::any_of(frames.begin(), frames.end(), [](const Session::Outgoing& outgoing) {
    return std::holds_alternative<wire::Goodbye>(outgoing.frame);
  })) << "the peer is told";
}

TEST_F(Played, APeersFailureIsReportedInItsOwnWords) {
  peer.open(1, hello_from(1, 7, Channel::control));
  peer.say(1, wire::Goodbye{.failed = true, .reason = "disk full"});
  expect_failure(session, ErrorKind::unavailable, HasSubstr("stage 1 failed: disk full"));
}

TEST_F(Played, AGoodbyeCountsOnlyOnceEverythingBeforeItHasArrived) {
  peer.open(1, hello_from(1, 7, Channel::control));
  peer.say(1, wire::Goodbye{.control_frames = 1});
  EXPECT_EQ(session.state(), State::open);
  FrameSender sender(Channel::control, 1u << 20);
  ASSERT_FALSE(sender.acknowledge({.credit_limit = 1u << 20}));
  sender.push(test_message(1, 1, 10, wire::MessageKind::finish));
  peer.say(1, sender.next());
  EXPECT_EQ(session.state(), State::departed);
  EXPECT_TRUE(session.receive()) << "what it sent is still delivered";
}

TEST_F(Played, ADepartedPeerMayDisappear) {
  peer.open(1, hello_from(1, 7, Channel::control));
  peer.say(1, wire::Goodbye{});
  session.path_lost(PathId(1), peer.now);
  peer.now += 10000s;
  session.tick(peer.now);
  EXPECT_FALSE(session.failure());
}

}  // namespace
}  // namespace ptrain::net
