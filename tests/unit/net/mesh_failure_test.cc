// What a mesh says when a job is set up wrongly, or a peer does not come, dies or fails.

#include <cerrno>
#include <map>
#include <memory>
#include <optional>

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "libcommon/net/mesh.h"
#include "libcommon/net/node.h"
#include "libcommon/net/session.h"
#include "libcommon/net/stage_admission.h"
#include "libcommon/os/file_descriptor.h"
#include "tests/unit/net/mesh_fixture.h"

namespace ptrain::net {
namespace {

using namespace std::chrono_literals;
using testing::AllOf;
using testing::HasSubstr;
using wire::MessageKind;

constexpr const char* kAny = "tcp://127.0.0.1:0";
constexpr const char* kNowhere = "tcp://127.0.0.1:1";

struct MeshFailure : testing::Test {
  SteadyClock clock;
  RecordingLog log;
};

TEST_F(MeshFailure, WhoSpeaksInAnothersNameIsLostAndOnlyThat) {
  Pair pair;
  pair.stage1->send(StageIndex(0), test_message(1, 1, 10, MessageKind::gradient));
  pair.stage1->send(StageIndex(0), test_message(2, 1, 10, MessageKind::gradient));  // a forgery
  pair.stage1->send(StageIndex(0), test_message(1, 2, 10, MessageKind::gradient));
  ASSERT_TRUE(pair.stage0->receive(20s));  // what came before it counts
  try {
    while (pair.stage0->receive(20s)) ADD_FAILURE() << "a message after the forgery";
    ADD_FAILURE() << "nobody is lost";
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::corrupt);
    EXPECT_THAT(error.what(), AllOf(HasSubstr("stage 1 has sent"), HasSubstr("from stage 2"),
                                    HasSubstr("in another one's name")));
  }
}

TEST_F(MeshFailure, APortInUseIsNamed) {
  Mesh first(options_of(0, kAny, {}), log, clock);
  const std::string taken = to_string(first.listening());
  const std::string text =
      error_text(ErrorKind::io, [&] { Mesh second(options_of(0, taken, {}), log, clock); });
  EXPECT_THAT(text, AllOf(HasSubstr("listen on " + taken), HasSubstr("another process")));
}

TEST_F(MeshFailure, APeerThatIsDialledAndNeverAppearsIsNamed) {
  auto options = options_of(1, kAny, {{0, kNowhere}});
  options.connect_timeout = 3s;  // in which an attempt must fail
  Mesh mesh(options, log, clock);
  EXPECT_THAT(error_text(ErrorKind::unavailable, [&] { mesh.await_peers(); }),
              AllOf(HasSubstr("stage 0 at tcp://127.0.0.1:1"), HasSubstr("refused"),
                    HasSubstr("within 3 s")));
}

TEST_F(MeshFailure, APeerThatNeverDialsIsNamed) {
  auto options = options_of(0, kAny, {{3, kNowhere}});
  options.connect_timeout = 300ms;
  Mesh mesh(options, log, clock);
  EXPECT_THAT(error_text(ErrorKind::unavailable, [&] { mesh.await_peers(); }),
              HasSubstr("stage 3 did not dial " + to_string(mesh.listening())));
}

TEST_F(MeshFailure, WaitingForPeersEndsWhenAsked) {
  Mesh mesh(options_of(1, kAny, {{0, kNowhere}}), log, clock);
  const auto begin = clock.now();
  mesh.await_peers([] { return true; });
  EXPECT_LT(clock.now() - begin, 15s);  // connect_timeout is 20 s
}

TEST_F(MeshFailure, StagesOfDifferentJobsSeeBothHashes) {
  Mesh stage0(options_of(0, kAny, {{1, kNowhere}}), log, clock);
  auto options = options_of(1, kAny, {{0, to_string(stage0.listening())}});
  options.introduction.job_hash = "beef";
  Mesh stage1(options, log, clock);
  EXPECT_THAT(error_text(ErrorKind::usage, [&] { stage0.await_peers(); }),
              AllOf(HasSubstr("job hash beef"), HasSubstr("ours is cafe")));
  EXPECT_THAT(error_text(ErrorKind::usage, [&] { stage1.await_peers(); }),
              AllOf(HasSubstr("job hash cafe"), HasSubstr("ours is beef")));
}

TEST_F(MeshFailure, TheSameStageTwiceIsNamedWhileTheJobStarts) {
  // Stage 2 never comes, so the job is still starting when stage 1 comes twice.
  Mesh stage0(options_of(0, kAny, {{1, kNowhere}, {2, kNowhere}}), log, clock);
  const std::string at0 = to_string(stage0.listening());
  Mesh one(options_of(1, kAny, {{0, at0}}), log, clock);
  Mesh other(options_of(1, kAny, {{0, at0}}), log, clock);
  EXPECT_THAT(error_text(ErrorKind::usage, [&] { stage0.await_peers(); }),
              HasSubstr("stage 1 was started twice"));
}

TEST_F(MeshFailure, ALateSecondProcessOfAStageIsTurnedAwayAndTheJobRunsOn) {
  Pair pair;
  Mesh late(options_of(1, kAny, {{0, to_string(pair.stage0->listening())}}), log, clock);
  EXPECT_THAT(error_text(ErrorKind::usage, [&] { late.await_peers(); }),
              AllOf(HasSubstr("refused us"), HasSubstr("stage 1 was started twice")));
  pair.stage1->send(StageIndex(0), test_message(1, 1, 10, MessageKind::gradient));
  EXPECT_TRUE(pair.stage0->receive(20s));
  EXPECT_THAT(pair.log0.all(), HasSubstr("turned away"));
}

TEST_F(MeshFailure, AFailureTravelsInItsOwnWords) {
  Pair pair;
  pair.stage1->fail("the disk is full");
  EXPECT_THAT(error_text(ErrorKind::unavailable, [&] { pair.stage0->receive(60s); }),
              HasSubstr("stage 1 failed: the disk is full"));
}

TEST_F(MeshFailure, AMeshThatGoesWithoutAGoodbyeIsMissedAtOnce) {
  Pair pair(kAny, [](MeshOptions& options) {
    options.reconnect_timeout = 60s;
    options.silence_timeout = 60s;
  });
  const auto begin = clock.now();
  pair.stage1.reset();
  EXPECT_THAT(error_text(ErrorKind::unavailable, [&] { pair.stage0->receive(90s); }),
              HasSubstr("stage 1 ended without finishing"));
  EXPECT_LT(clock.now() - begin, 20s) << "no timeout was waited for";
}

TEST_F(MeshFailure, WhatArrivedBeforeAFailureIsStillDelivered) {
  Pair pair;
  pair.stage1->send(StageIndex(0), test_message(1, 1, 10, MessageKind::gradient));
  ASSERT_TRUE(pair.stage1->close(20s));
  EXPECT_TRUE(pair.stage0->receive(20s));
  EXPECT_TRUE(departs(*pair.stage0, StageIndex(1)));
  error_text(ErrorKind::unavailable,
             [&] { pair.stage0->send(StageIndex(1), test_message(0, 1, 1)); });
}

TEST_F(MeshFailure, AFullQueueIsAnErrorThatNamesThePeer) {
  auto options = options_of(0, kAny, {{1, kNowhere}});
  options.queue_limit = ByteCount(10000);
  Mesh mesh(options, log, clock);
  for (int i = 0; i < 9; ++i) mesh.send(StageIndex(1), test_message(0, i, 700));
  EXPECT_GT(mesh.traffic(StageIndex(1)).queued, ByteCount(6300));
  mesh.send(StageIndex(1), test_message(0, 9, 10000 - 9 * (700 + 256) - 256));
  EXPECT_THAT(
      error_text(ErrorKind::unavailable, [&] { mesh.send(StageIndex(1), test_message(0, 10, 0)); }),
      HasSubstr("10000 bytes wait for stage 1"));
}

TEST_F(MeshFailure, AMessageAboveTheLimitIsRefusedWhereItIsSent) {
  auto options = options_of(0, kAny, {{1, kNowhere}});
  options.message_limit = ByteCount(100);
  Mesh mesh(options, log, clock);
  mesh.send(StageIndex(1), test_message(0, 1, 100));
  EXPECT_THAT(
      error_text(ErrorKind::internal, [&] { mesh.send(StageIndex(1), test_message(0, 2, 101)); }),
      HasSubstr("101 bytes, at most 100"));
}

struct BadSetup {
  const char* listen;
  std::uint32_t self;
  std::vector<std::pair<std::uint32_t, std::string>> peers;
  const char* expected;
};

TEST_F(MeshFailure, SetupsThatCannotWorkAreRefusedAtOnce) {
  const std::string key(64, 'a');
  const BadSetup setups[] = {
      {"tcp://0.0.0.0:0", 0, {}, "no key"},
      {"socks5://relay:1/token", 0, {}, "only tcp:// and ipc://"},
      {kAny, 1, {{0, "tcp://192.0.2.1:7000"}}, "has no key"},
      {kAny, 1, {{0, "tcp://192.0.2.1:7000#" + key}}, "no key of our own"},
      {kAny, 1, {{0, "socks5://relay:1/token#" + key}}, "can be dialled"},
      {kAny, 1, {{1, kNowhere}}, "ourselves"},
      {kAny, 1, {{0, kNowhere}, {0, kNowhere}}, "given twice"},
  };
  for (const BadSetup& setup : setups) {
    EXPECT_THAT(
        error_text(
            ErrorKind::usage,
            [&] { Mesh mesh(options_of(setup.self, setup.listen, setup.peers), log, clock); }),
        HasSubstr(setup.expected));
  }
}

TEST_F(MeshFailure, NoConnectionsOrTooManyAreRefusedAtOnce) {
  for (const std::uint8_t connections :
       {std::uint8_t{0}, std::uint8_t{wire::kMaxConnections + 1}}) {
    auto options = options_of(0, kAny, {});
    options.connections = connections;
    EXPECT_THAT(error_text(ErrorKind::usage, [&] { Mesh mesh(options, log, clock); }),
                HasSubstr("1 to 8 allowed"));
  }
}

// Runs stage `self` in a process of its own; it prints its endpoint into the pipe, joins the
// mesh, sends one message, and waits to be killed.
class StageProcess {
 public:
  enum class Begins { at_once, when_told };  // its endpoint is not known then

  StageProcess(std::uint32_t self, std::pair<std::uint32_t, std::string> peer,
               Begins begins = Begins::at_once) {
    int ends[2];
    int told[2];
    if (::pipe(ends) != 0 || ::pipe(told) != 0) throw io_error("pipe", errno);
    begin_ = os::FileDescriptor(told[1]);
    const os::FileDescriptor may_begin(told[0]);
    pid_ = ::fork();
    if (pid_ == 0) {
      SteadyClock clock;
      NullLog log;
      if (begins == Begins::when_told) {
        char byte = 0;
        if (::write(ends[1], "\n", 1) < 0 || ::read(told[0], &byte, 1) != 1) ::_exit(1);
      }
      Mesh mesh(options_of(self, kAny, {peer}), log, clock);
      const std::string endpoint = to_string(mesh.listening()) + "\n";
      if (::write(ends[1], endpoint.data(), endpoint.size()) < 0) ::_exit(1);
      mesh.await_peers();
      mesh.send(StageIndex(peer.first), test_message(self, 1, 10, MessageKind::step_report));
      while (true) ::pause();
    }
    ::close(ends[1]);
    char byte = 0;
    while (::read(ends[0], &byte, 1) == 1 && byte != '\n') endpoint_ += byte;
    ::close(ends[0]);
  }
  ~StageProcess() {
    signal(SIGKILL);
    ::waitpid(pid_, nullptr, 0);
  }
  void signal(int number) const { ::kill(pid_, number); }
  void begin() const { ASSERT_EQ(::write(begin_.get(), "x", 1), 1); }
  const std::string& endpoint() const { return endpoint_; }

 private:
  pid_t pid_ = -1;
  std::string endpoint_;
  os::FileDescriptor begin_;
};

// Since then. Within a second on a machine that has time, and long before silence_timeout on any.
void expect_soon(TimePoint since) {
  const double lost_after_s = seconds(SteadyClock().now() - since);
  testing::Test::RecordProperty("lost_after_s", fmt::format("{:.2f}", lost_after_s));
  EXPECT_LT(lost_after_s, 20);
}

TEST_F(MeshFailure, AKilledListenerIsReportedWithinSeconds) {
  const StageProcess stage0(0, {1, kNowhere});
  auto options = options_of(1, kAny, {{0, stage0.endpoint()}});
  options.silence_timeout = 60s;
  options.reconnect_timeout = 800ms;                   // as ptrain-stage has it
  options.outage_timeout = options.reconnect_timeout;  // a slow machine may take it for one
  Mesh stage1(options, log, clock);
  stage1.await_peers();
  ASSERT_TRUE(stage1.receive(20s));
  stage0.signal(SIGKILL);
  const auto begin = clock.now();
  EXPECT_THAT(error_text(ErrorKind::unavailable, [&] { stage1.receive(90s); }),
              HasSubstr("stage 0 at " + stage0.endpoint() + " is gone"));
  expect_soon(begin);
}

TEST_F(MeshFailure, AKilledDiallerIsReportedWithinSeconds) {
  // The port is known before the child, because a fork must precede our threads.
  std::string port;
  {
    Mesh probe(options_of(0, kAny, {}), log, clock);
    port = to_string(probe.listening());
  }
  const StageProcess stage1(1, {0, port});
  auto options = options_of(0, port, {{1, kNowhere}});
  options.silence_timeout = 60s;
  options.reconnect_timeout = 800ms;                   // as ptrain-stage has it
  options.outage_timeout = options.reconnect_timeout;  // a slow machine may take it for one
  Mesh stage0(options, log, clock);
  stage0.await_peers();
  ASSERT_TRUE(stage0.receive(20s));
  stage1.signal(SIGKILL);
  const auto begin = clock.now();
  EXPECT_THAT(error_text(ErrorKind::unavailable, [&] { stage0.receive(90s); }),
              HasSubstr("stage 1 is gone"));
  expect_soon(begin);
}

TEST_F(MeshFailure, AStageThatIsKilledAndStartedAgainIsRestartedAndThenUpAgain) {
  std::string port;
  {
    Mesh probe(options_of(0, kAny, {}), log, clock);
    port = to_string(probe.listening());
  }
  const StageProcess first(1, {0, port});
  const StageProcess second(1, {0, port}, StageProcess::Begins::when_told);
  NodeOptions options{.introduction = test_introduction(), .listen = parse_endpoint(port)};
  options.reconnect_timeout = 30s;
  Node node(
      options,
      std::make_unique<StageAdmission>(
          std::map<StageIndex, std::optional<PublicKey>>{{StageIndex(1), std::nullopt}}, false),
      log, clock);
  const WorkerId stage1{.key = std::nullopt, .name = "stage-1"};
  node.expect(stage1, StageIndex(1), "stage 1");
  node.start();
  const auto event = [&] { return node.next(60s).value(); };
  EXPECT_TRUE(std::holds_alternative<Up>(event()));
  EXPECT_TRUE(std::holds_alternative<Delivery>(event()));
  first.signal(SIGKILL);
  second.begin();
  const auto down = event();
  ASSERT_TRUE(std::holds_alternative<Down>(down));
  EXPECT_EQ(std::get<Down>(down).why, Loss::restarted);
  EXPECT_TRUE(std::holds_alternative<Up>(event()));
  EXPECT_TRUE(std::holds_alternative<Delivery>(event()));
}

TEST_F(MeshFailure, AStoppedPeerIsReportedWhenItHasBeenSilent) {
  const StageProcess stage0(0, {1, kNowhere});
  auto options = options_of(1, kAny, {{0, stage0.endpoint()}});
  options.silence_timeout = 3s;  // half of it is less than an outage
  Mesh stage1(options, log, clock);
  stage1.await_peers();
  ASSERT_TRUE(stage1.receive(20s));
  stage0.signal(SIGSTOP);
  EXPECT_THAT(error_text(ErrorKind::unavailable, [&] { stage1.receive(60s); }),
              AllOf(HasSubstr("stage 0"), testing::AnyOf(HasSubstr("silent"), HasSubstr("gone"))));
}

TEST_F(MeshFailure, AStoppedPeerIsNotTakenForALinkThatIsOutOfOrder) {
  const StageProcess stage0(0, {1, kNowhere});
  auto options = options_of(1, kAny, {{0, stage0.endpoint()}});
  options.silence_timeout = 2 * kOutageSilence + 400ms;  // half of it, and it counts as an outage
  options.outage_timeout = 300s;
  Mesh stage1(options, log, clock);
  stage1.await_peers();
  ASSERT_TRUE(stage1.receive(20s));
  stage0.signal(SIGSTOP);
  EXPECT_THAT(error_text(ErrorKind::unavailable, [&] { stage1.receive(60s); }),
              AllOf(HasSubstr("stage 0"), HasSubstr("though its host answers")));
}

}  // namespace
}  // namespace ptrain::net
