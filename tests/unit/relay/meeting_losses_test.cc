// Stages that meet through a relay and lose each other: processes that are killed.

#include <cerrno>
#include <chrono>
#include <exception>
#include <string>

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "libcommon/base/error.h"
#include "libcommon/net/relay_word.h"
#include "libcommon/os/file_descriptor.h"
#include "tests/unit/relay/meeting_stages.h"

namespace ptrain::relay {
namespace {

using namespace std::chrono_literals;
using testing::HasSubstr;

// Stage 1 in a process of its own, from before there were threads: told of the relay, it meets
// stage 0, sends it a message, and waits to be killed.
class FarStage {
 public:
  FarStage() {
    int ends[2];
    if (::pipe(ends) != 0) throw io_error("pipe", errno);
    const os::FileDescriptor told(ends[0]);
    tell_ = os::FileDescriptor(ends[1]);
    pid_ = ::fork();
    if (pid_ != 0) return;
    tell_.reset();
    std::string word;
    for (char byte = 0; ::read(told.get(), &byte, 1) == 1 && byte != '\n';) word += byte;
    try {
      meet_and_wait(word);
    } catch (const std::exception&) {
      ::_exit(1);  // stage 0 hears nothing, and says so
    }
  }
  ~FarStage() { kill(); }

  void meet_at(const net::TicketRelay& relay) const {
    const std::string word = net::to_word(relay) + "\n";
    ASSERT_EQ(::write(tell_.get(), word.data(), word.size()), static_cast<ssize_t>(word.size()));
  }
  void kill() {
    if (pid_ <= 0) return;
    ::kill(pid_, SIGKILL);
    ::waitpid(pid_, nullptr, 0);
    pid_ = -1;
  }

 private:
  [[noreturn]] static void meet_and_wait(const std::string& relay) {
    SteadyClock clock;
    NullLog log;
    const auto ticket = ticket_of(TestRun(1), {net::parse_relay_word(relay)});
    net::Mesh mesh(options_of(1, 2, ticket), log, clock);
    mesh.await_peers();
    mesh.send(StageIndex(0), message_of(1, 0, 1000));
    while (true) ::pause();
  }

  os::FileDescriptor tell_;
  pid_t pid_ = -1;
};

class MeetingLoss : public testing::Test {
 protected:
  // Stage 0 as it is told to be, stage 1 at that relay.
  void expect_killed_stage_is_lost(const net::MeshOptions& ours, const net::TicketRelay& theirs) {
    far.meet_at(theirs);
    net::Mesh low(ours, log, clock);
    low.await_peers();
    ASSERT_TRUE(low.receive(kAnswerPatience));
    far.kill();
    const TimePoint begin = clock.now();
    try {
      low.receive(kAnswerPatience);
      FAIL() << "nobody noticed";
    } catch (const Error& error) {
      EXPECT_THAT(error.what(), HasSubstr("stage 1 is gone"));
    }
    const double lost_after_s = seconds(clock.now() - begin);
    RecordProperty("lost_after_s", fmt::format("{:.2f}", lost_after_s));
    EXPECT_LT(lost_after_s, 10) << "2 s on a machine that has time";
  }

  FarStage far;
  SteadyClock clock;
  NullLog log;
};

// Its kernel ends its connections to the relay, which goes on: that is no relay's end, for which
// the stages would wait a minute here.
TEST_F(MeetingLoss, APeerThatIsKilledIsLostWithinSecondsThroughARelayThatLives) {
  WholeRelay relay;
  expect_killed_stage_is_lost(options_of(0, 2, ticket_of(TestRun(1), {relay.for_ticket()})),
                              relay.for_ticket());
}

// No relay carried anything, but one sees its connection end.
TEST_F(MeetingLoss, SoIsOneThatWasReachedDirectly) {
  const std::string host = address_of_this_host();
  if (host.empty()) GTEST_SKIP() << "this host has no address that others could dial";
  WholeRelay relay;
  net::MeshOptions options = options_of(0, 2, ticket_of(TestRun(1), {relay.for_ticket()}));
  options.meeting->relayed = false;
  options.listen = net::parse_endpoint("tcp://" + host + ":0");
  expect_killed_stage_is_lost(options, relay.for_ticket());
}

// Its own relay has seen its connections end, and says so to ours.
TEST_F(MeetingLoss, SoIsOneThatIsRegisteredAtANeighbourAlone) {
  WholeRelay west;
  WholeRelay east;
  AccessRules west_rules;
  west_rules.neighbours.push_back(east.for_ticket());
  AccessRules east_rules;
  east_rules.neighbours.push_back(west.for_ticket());
  west.control.set_rules(west_rules);
  east.control.set_rules(east_rules);
  expect_killed_stage_is_lost(options_of(0, 2, ticket_of(TestRun(1), {west.for_ticket()})),
                              east.for_ticket());
}

// The registration that it left behind holds for most of a minute.
TEST_F(MeetingLoss, AStageWhoseHostWasLostMovesToAnother) {
  WholeRelay relay;
  const auto ticket = ticket_of(TestRun(1), {relay.for_ticket()});
  far.meet_at(relay.for_ticket());
  {
    net::Mesh low(options_of(0, 2, ticket), log, clock);
    low.await_peers();
    far.kill();
  }
  net::Mesh high(options_of(1, 2, ticket), log, clock);
  net::Mesh low(options_of(0, 2, ticket), log, clock);
  low.await_peers();
  high.await_peers();
}

}  // namespace
}  // namespace ptrain::relay
