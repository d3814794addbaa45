#include "libcommon/net/session.h"

#include <algorithm>
#include <map>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/unit/net/fake_network.h"
#include "tests/unit/net/messages.h"

namespace ptrain::net {
namespace {

using namespace std::chrono_literals;
using testing::AllOf;
using testing::HasSubstr;
using State = Session::State;
using wire::Purpose;
using wire::Urgency;

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
  for (int i = 0; i < 100; ++i) send(network.side(1), test_message(1, i, kBytes));
  run(network, 500ms);
  std::uint64_t arrived = 0;
  std::uint64_t count = 0;
  while (take(network.side(0))) {  // taken out, yet never reported as consumed
    arrived += message_cost(kBytes);
    ++count;
  }
  EXPECT_LE(arrived, kMinCreditWindow);
  EXPECT_GT(arrived, kMinCreditWindow / 2);
  for (std::uint64_t i = 0; i < count; ++i) {
    network.side(0).consumed(Urgency::pipeline, message_cost(kBytes), network.now());
  }
  run(network, 500ms);
  EXPECT_TRUE(take(network.side(0))) << "and goes on when it catches up";
}

TEST(Session, ConsumingTellsAPeerWithoutCreditAtOnce) {
  auto options0 = fake_options(0, 1);
  options0.ack_delay = 10s;
  FakeNetwork network(options0, fake_options(1, 2), kNone, 1);
  run(network, 50ms);
  constexpr std::size_t kBytes = 2 * wire::kMaxFrameBytes;
  send(network.side(1), test_message(1, 1, kBytes));
  send(network.side(1), test_message(1, 2, 100));
  run(network, 20ms);
  ASSERT_TRUE(take(network.side(0)));
  ASSERT_FALSE(take(network.side(0))) << "the window is full";
  network.side(0).consumed(Urgency::pipeline, message_cost(kBytes), network.now());
  run(network, 5ms);
  EXPECT_TRUE(take(network.side(0)));
}

TEST(Session, AMessageLargerThanTheWindowPasses) {
  FakeNetwork network(fake_options(0, 1), fake_options(1, 2), kNone, 1);
  const auto message = test_message(1, 1, 10 * kMinCreditWindow);
  send(network.side(1), message);
  run(network, 2000ms);
  const auto got = take(network.side(0));
  ASSERT_TRUE(got);
  EXPECT_TRUE(holds(*got, message));
}

TEST(Session, ControlOvertakesBulk) {
  FakeNetwork network(fake_options(0, 1), fake_options(1, 2), kNone, 1);
  run(network, 50ms);
  send(network.side(1), test_message(1, 1, 10 * kMinCreditWindow));
  run(network, 3ms);
  send(network.side(1), test_message(1, 2, 10, wire::MessageKind::step_report));
  std::vector<wire::MessageKind> order;
  for (int i = 0; i < 2000 && order.size() < 2; ++i) {
    network.step();
    while (auto message = take(network.side(0))) order.push_back(message->name.kind);
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
  send(network.side(1), test_message(1, 1, 100));
  network.break_all_links();
  run(network, 400ms);
  EXPECT_TRUE(take(network.side(0)));
  EXPECT_EQ(network.side(0).state(), State::open);
  EXPECT_GE(network.side(0).reconnects(), 1u);
}

TEST(Session, APeerWithoutAPathForTooLongIsGone) {
  auto options0 = fake_options(0, 1);
  options0.reconnect_timeout = 500ms;
  FakeNetwork network(options0, fake_options(1, 2), kNone, 1);
  run(network, 50ms);
  EXPECT_FALSE(network.side(0).outage());
  network.stop_dialling();
  network.break_all_links();
  run(network, 490ms);
  EXPECT_EQ(network.side(0).state(), State::open);
  const auto outage = network.side(0).outage();
  ASSERT_TRUE(outage);
  EXPECT_EQ(outage->ends - outage->since, 500ms);
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
  send(network.side(1), test_message(1, 1, 100));
  run(network, 300ms);
  EXPECT_TRUE(take(network.side(0)));
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

TEST(Session, AConnectionThatLosesOrDamagesAFrameIsReplacedAndNothingIsLost) {
  FakeNetwork network(fake_options(0, 1), fake_options(1, 2), kNone, 1);
  run(network, 50ms);
  network.set_misfortune({.lose = 0.1, .damage = 0.1});
  for (int i = 0; i < 20; ++i) send(network.side(1), test_message(1, i, 1000));
  run(network, 10s);
  int got = 0;
  while (take(network.side(0))) ++got;
  EXPECT_EQ(got, 20);
  EXPECT_GT(network.side(0).refused_frames(), 0u);
  EXPECT_GT(network.side(0).reconnects(), 0u);
}

// Four links for bulk; one of them breaks with what is on it.
TEST(Session, ABrokenLinkCostsWhatWasOnItAndTheOthersGoOn) {
  FakeNetwork network(fake_options(0, 1), fake_options(1, 2), kNone, 1, 4);
  run(network, 50ms);
  EXPECT_EQ(network.side(1).links_in_use(Purpose::bulk), 4u);
  std::uint64_t sent = 0;
  for (; sent < 400; ++sent) {
    send(network.side(1), test_message(1, sent, 4000));
    if (sent % 40 == 39) network.break_link_of_line(1 + sent % 4);
    network.step();
  }
  run(network, 200ms);
  for (std::uint64_t i = 0; i < sent; ++i) {
    const auto message = take(network.side(0));
    ASSERT_TRUE(message) << i;
    EXPECT_EQ(message->name.step, Step(i));
  }
  EXPECT_LT(network.side(0).repeated_frames(), 40u);
}

// An old neighbour greets a process that was started again with what it had of the first.
TEST(Session, ARestartedProcessIsNotBlamedForWhatItsPredecessorSent) {
  Session reborn(fake_options(0, 9), TimePoint{});
  reborn.link_opened(LinkId(1), Route{}, {}, TimePoint{});
  wire::Hello old{.version = wire::kProtocolVersion,
                  .run = "r",
                  .job_hash = "h",
                  .stage_count = 2,
                  .data_fingerprint = "",
                  .stage = StageIndex(1),
                  .incarnation = 7,
                  .to = 5,  // who had the place before
                  .link = {},
                  .received = {.received = {{{.next = 61}}}}};
  reborn.arrived(LinkId(1), old, 1, TimePoint{});
  EXPECT_FALSE(reborn.failure());
  const auto answer = reborn.next_frame(TimePoint{});
  ASSERT_TRUE(answer);
  const auto* hello = std::get_if<wire::Hello>(&answer->frame);
  ASSERT_NE(hello, nullptr) << "so that the neighbour learns of it";
  EXPECT_EQ(hello->incarnation, 9u);
  EXPECT_EQ(reborn.take_discarded_links(TimePoint{}).size(), 1u);
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

TEST(Session, ADifferenceIsToldInTheWordsOfTheApplicationWhereBothSidesSendThem) {
  const auto explain = [](std::string_view ours, std::string_view theirs) {
    return std::string(ours) + " here, " + std::string(theirs) + " there";
  };
  auto one = fake_options(0, 1);
  auto other = fake_options(1, 2);
  other.introduction.job_hash = "other";
  one.introduction.terms = "terms of one";
  other.introduction.terms = "terms of another";
  one.introduction.explain = other.introduction.explain = explain;
  FakeNetwork network(one, other, kNone, 1);
  run(network, 50ms);
  expect_failure(network.side(0), ErrorKind::usage,
                 HasSubstr("another job: terms of one here, terms of another there"));
  expect_failure(network.side(1), ErrorKind::usage,
                 HasSubstr("another job: terms of another here, terms of one there"));
  other.introduction.terms.clear();  // an earlier release
  FakeNetwork with_old(one, other, kNone, 1);
  run(with_old, 50ms);
  expect_failure(with_old.side(0), ErrorKind::usage, HasSubstr("job hash other, ours is h"));
}

TEST(Session, OtherDataIsToldInTheWordsOfTheApplicationToo) {
  auto one = fake_options(0, 1);
  auto other = fake_options(1, 2);
  one.introduction.data_fingerprint = "a";
  other.introduction.data_fingerprint = "b";
  one.introduction.terms = other.introduction.terms = "terms";
  one.introduction.explain = [](std::string_view, std::string_view) -> std::string {
    return "data.train: 3 shards here, 2 there";
  };
  FakeNetwork network(one, other, kNone, 1);
  run(network, 50ms);
  expect_failure(network.side(0), ErrorKind::usage,
                 HasSubstr("other data: data.train: 3 shards here, 2 there"));
  expect_failure(network.side(1), ErrorKind::usage, HasSubstr("data fingerprint a, ours is b"));
}

// A path on which the test itself plays the peer.
class PlayedPeer {
 public:
  explicit PlayedPeer(Session& session) : session_(session) {}

  void open(std::uint64_t path, const wire::Hello& hello) {
    session_.link_opened(LinkId(path), Route{}, hello.link, now);
    session_.arrived(LinkId(path), hello, ++ordinals_[path], now);
  }
  void say(std::uint64_t path, wire::Frame frame) {
    session_.arrived(LinkId(path), std::move(frame), ++ordinals_[path], now);
  }
  std::vector<Session::Outgoing> heard() {
    std::vector<Session::Outgoing> frames;
    while (auto outgoing = session_.next_frame(now)) frames.push_back(*outgoing);
    return frames;
  }

  TimePoint now{};

 private:
  Session& session_;
  std::map<std::uint64_t, std::uint64_t> ordinals_;
};

wire::Hello hello_from(std::uint32_t stage, std::uint64_t incarnation, Purpose purpose) {
  return {.version = wire::kProtocolVersion,
          .run = "r",
          .job_hash = "h",
          .stage_count = 2,
          .data_fingerprint = "",
          .stage = StageIndex(stage),
          .incarnation = incarnation,
          .link = {.purpose = purpose, .number = incarnation, .line = incarnation},
          .received = {.received = {{{.credit_limit = 1u << 20}, {.credit_limit = 1u << 20}}}}};
}

struct Played : testing::Test {
  Session session{fake_options(0, 1), TimePoint{}};
  PlayedPeer peer{session};
};

TEST_F(Played, AnotherProtocolVersionIsNamed) {
  auto hello = hello_from(1, 7, Purpose::control);
  hello.version = 9;
  peer.open(1, hello);
  expect_failure(session, ErrorKind::usage,
                 AllOf(HasSubstr("protocol version 9"),
                       HasSubstr("ours is " + std::to_string(wire::kProtocolVersion))));
}

TEST_F(Played, APeerThatClaimsOurOwnStageIsNamed) {
  peer.open(1, hello_from(0, 7, Purpose::control));
  expect_failure(session, ErrorKind::usage, HasSubstr("says that it is stage 0, and so are we"));
}

TEST_F(Played, APeerThatClaimsAThirdStageIsNamed) {
  peer.open(1, hello_from(5, 7, Purpose::control));
  expect_failure(session, ErrorKind::usage, HasSubstr("says that it is stage 5"));
}

TEST_F(Played, ARestartBeforeAnythingWasExchangedIsNoFailure) {
  peer.open(1, hello_from(1, 7, Purpose::control));
  session.link_lost(LinkId(1), peer.now);
  peer.open(2, hello_from(1, 8, Purpose::control));
  EXPECT_FALSE(session.failure());
}

TEST_F(Played, ARestartAfterMessagesWereExchangedIsAFailure) {
  peer.open(1, hello_from(1, 7, Purpose::control));
  send(session, test_message(0, 1, 10, wire::MessageKind::step_verdict));
  peer.heard();
  peer.say(1, wire::Acknowledgement{.received = {{{.next = 1}}}});
  session.link_lost(LinkId(1), peer.now);
  peer.open(2, hello_from(1, 8, Purpose::control));
  expect_failure(session, ErrorKind::unavailable, HasSubstr("was restarted"));
}

// The second process claims the stage; the first answers the ping that asks whether it lives.
void claim_twice(Session& session, PlayedPeer& peer) {
  peer.open(1, hello_from(1, 7, Purpose::control));
  peer.heard();
  peer.open(2, hello_from(1, 8, Purpose::control));
  EXPECT_FALSE(session.failure()) << "the first may have died just now";
  const auto frames = peer.heard();
  session.take_discarded_links(peer.now);
  ASSERT_EQ(frames.size(), 1u);
  const auto* ping = std::get_if<wire::Ping>(&frames[0].frame);
  ASSERT_NE(ping, nullptr);
  peer.say(1, wire::Acknowledgement{.pong = ping->number});
  peer.open(3, hello_from(1, 8, Purpose::control));
}

TEST_F(Played, TheSameStageTwiceEndsAStartingJob) {
  claim_twice(session, peer);
  expect_failure(session, ErrorKind::usage, HasSubstr("stage 1 was started twice"));
}

// Where a process holds several stages it has a number, which is no stage's.
TEST_F(Played, APeerThatWasStartedTwiceIsCalledByItsName) {
  SessionOptions options = fake_options(0, 1);
  options.peer_name = "stage 3, lane 1";
  Session worker(options, TimePoint{});
  PlayedPeer other(worker);
  claim_twice(worker, other);
  expect_failure(worker, ErrorKind::usage, HasSubstr("stage 3, lane 1 was started twice"));
}

TEST_F(Played, TheSameStageTwiceIsTurnedAwayFromARunningJob) {
  session.settle();
  claim_twice(session, peer);
  EXPECT_FALSE(session.failure());
  EXPECT_EQ(session.take_warnings().size(), 1u);
  const auto frames = peer.heard();
  ASSERT_EQ(frames.size(), 1u);
  EXPECT_EQ(frames[0].link, LinkId(3));
  EXPECT_TRUE(std::holds_alternative<wire::Goodbye>(frames[0].frame));
}

TEST_F(Played, AStrangersJobDoesNotEndARunningOne) {
  peer.open(1, hello_from(1, 7, Purpose::control));
  session.settle();
  auto hello = hello_from(1, 8, Purpose::control);
  hello.job_hash = "other";
  peer.open(2, hello);
  EXPECT_EQ(session.state(), State::open);
  EXPECT_EQ(session.take_warnings().size(), 1u);
}

TEST_F(Played, AfterEachHelloWithoutAnAnswerTheNextHasTwiceAsLongUntilOneIsAnswered) {
  const auto waits_for = [&](std::uint64_t path, Duration patience) {
    session.link_opened(LinkId(path), Route{}, {}, peer.now);
    session.tick(peer.now + patience - 1ms);
    EXPECT_TRUE(session.take_discarded_links(peer.now).empty());
    session.tick(peer.now += patience);
    return session.take_discarded_links(peer.now).size();
  };
  for (const auto patience : {100ms, 200ms, 400ms, 500ms, 500ms}) {  // at most stall_timeout
    EXPECT_EQ(waits_for(1, patience), 1u);
  }
  peer.open(2, hello_from(1, 7, Purpose::control));
  EXPECT_EQ(waits_for(3, 100ms), 1u);
}

TEST_F(Played, WhoIsKnownToHaveGoneIsLostSoonUnlessItComesBack) {
  const auto lost_after = [&](Duration passed) {
    session.tick(peer.now += passed);
    return session.failure().has_value();
  };
  peer.open(1, hello_from(1, 7, Purpose::control));
  session.peer_is_absent();  // it has a link
  session.link_lost(LinkId(1), peer.now);
  EXPECT_FALSE(lost_after(10s));
  peer.open(2, hello_from(1, 7, Purpose::control));
  session.link_lost(LinkId(2), peer.now);
  EXPECT_FALSE(lost_after(1s));
  session.peer_is_absent();
  EXPECT_TRUE(lost_after(0s));
  EXPECT_EQ(session.loss(), Loss::failed);
}

TEST_F(Played, WhoFellSilentBeforeMayBeOutOfReach) {
  peer.open(1, hello_from(1, 7, Purpose::control));
  peer.now += kOutageSilence;
  session.link_lost(LinkId(1), peer.now);
  session.peer_is_absent();
  session.tick(peer.now += 10s);
  EXPECT_FALSE(session.failure());
}

TEST_F(Played, NothingCountsBeforeTheHello) {
  session.link_opened(LinkId(1), Route{}, {}, peer.now);
  peer.say(1, wire::Acknowledgement{.received = {{{.next = 99}}}});
  EXPECT_EQ(session.state(), State::waiting);
  EXPECT_EQ(session.refused_frames(), 1u);
}

TEST_F(Played, AnImpossibleAcknowledgementIsABreach) {
  peer.open(1, hello_from(1, 7, Purpose::control));
  peer.say(1, wire::Acknowledgement{.received = {{{.next = 99}}}});
  expect_failure(session, ErrorKind::corrupt, HasSubstr("frame 99"));
  const auto frames = peer.heard();
  EXPECT_TRUE(std::any_of(frames.begin(), frames.end(), [](const Session::Outgoing& outgoing) {
    return std::holds_alternative<wire::Goodbye>(outgoing.frame);
  })) << "the peer is told";
}

TEST_F(Played, AGoodbyeThatWaitsForCreditWakesNobody) {
  auto hello = hello_from(1, 7, Purpose::control);
  hello.received.of(Urgency::control).credit_limit = 0;
  peer.open(1, hello);
  send(session, test_message(0, 1, 1000, wire::MessageKind::step_verdict));
  session.say_goodbye(false, "");
  session.tick(peer.now);
  peer.heard();
  EXPECT_GT(session.next_tick(), peer.now);
}

TEST_F(Played, APeersFailureIsReportedInItsOwnWords) {
  peer.open(1, hello_from(1, 7, Purpose::control));
  peer.say(1, wire::Goodbye{.failed = true, .reason = "disk full"});
  expect_failure(session, ErrorKind::unavailable, HasSubstr("stage 1 failed: disk full"));
}

TEST_F(Played, AGoodbyeCountsOnlyOnceEverythingBeforeItHasArrived) {
  peer.open(1, hello_from(1, 7, Purpose::control));
  peer.say(1, wire::Goodbye{.frames = {1}});
  EXPECT_EQ(session.state(), State::open);
  FrameSender sender(Urgency::control, 1u << 20);
  ASSERT_FALSE(sender.acknowledge({.credit_limit = 1u << 20}));
  sender.push(test_message(1, 1, 10, wire::MessageKind::eval_report));
  peer.say(1, sender.next(LinkId(1)));
  EXPECT_EQ(session.state(), State::departed);
  EXPECT_TRUE(take(session)) << "what it sent is still delivered";
}

// It waits for that, and would wait in vain if our end of the links were gone before it came.
TEST_F(Played, NothingIsDrainedBeforeADepartedPeerHasHeardOurGoodbye) {
  peer.open(1, hello_from(1, 7, Purpose::control));
  peer.say(1, wire::Goodbye{});
  ASSERT_EQ(session.state(), State::departed);
  session.say_goodbye(false, "");
  peer.heard();
  EXPECT_FALSE(session.drained());
  peer.say(1, wire::Acknowledgement{.goodbye = true});
  EXPECT_TRUE(session.drained());
}

TEST_F(Played, ADepartedPeerWithoutALinkIsNotWaitedFor) {
  peer.open(1, hello_from(1, 7, Purpose::control));
  peer.say(1, wire::Goodbye{});
  session.say_goodbye(false, "");
  session.link_lost(LinkId(1), peer.now);
  EXPECT_TRUE(session.drained());
}

TEST_F(Played, ADepartedPeerMayDisappear) {
  peer.open(1, hello_from(1, 7, Purpose::control));
  peer.say(1, wire::Goodbye{});
  session.link_lost(LinkId(1), peer.now);
  peer.now += 10000s;
  session.tick(peer.now);
  EXPECT_FALSE(session.failure());
}

}  // namespace
}  // namespace ptrain::net
