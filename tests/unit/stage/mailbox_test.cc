#include "tools/stage/engine/mailbox.h"

#include <csignal>
#include <initializer_list>
#include <thread>

#include <gtest/gtest.h>
#include <unistd.h>

#include "libcommon/base/error.h"
#include "libcommon/base/log.h"

namespace ptrain::stage {
namespace {

using wire::MessageKind;

std::set<StageIndex> stages(std::initializer_list<std::uint32_t> list) {
  std::set<StageIndex> result;
  for (const std::uint32_t stage : list) result.insert(StageIndex(stage));
  return result;
}

TEST(Correspondents, AreTheNeighboursAndTheDriver) {
  EXPECT_EQ(correspondents(StageIndex(0), 1), stages({}));
  EXPECT_EQ(correspondents(StageIndex(0), 4), stages({1, 2, 3}));
  EXPECT_EQ(correspondents(StageIndex(1), 4), stages({0, 2}));
  EXPECT_EQ(correspondents(StageIndex(2), 4), stages({0, 1, 3}));
  EXPECT_EQ(correspondents(StageIndex(3), 4), stages({0, 2}));
}

// Two stages over a real socket.
class MailboxTest : public testing::Test {
 protected:
  MailboxTest() {
    std::thread other([&] { meshes_[1] = open(1); });
    meshes_[0] = open(0);
    other.join();
  }

  std::unique_ptr<net::Mesh> open(std::uint32_t self) {
    const auto endpoint = [](std::uint32_t stage) {
      return net::parse_endpoint("ipc:///tmp/ptrain-mailbox-test-" + std::to_string(::getpid()) +
                                 "-" + std::to_string(stage));
    };
    net::MeshOptions options;
    options.self = StageIndex(self);
    options.listen = endpoint(self);
    options.peers = {{StageIndex(1 - self), endpoint(1 - self)}};
    options.introduction = {
        .run = "test", .job_hash = "0", .stage_count = 2, .data_fingerprint = ""};
    auto mesh = std::make_unique<net::Mesh>(std::move(options), log_, clock_);
    mesh->await_peers();
    return mesh;
  }

  Mailbox mailbox(std::uint32_t self) {
    return Mailbox(meshes_[self].get(), StageIndex(self), 2, stop_, clock_);
  }

  NullLog log_;
  SteadyClock clock_;
  os::StopSignal stop_{"test"};
  std::unique_ptr<net::Mesh> meshes_[2];
};

TEST_F(MailboxTest, MessagesAreFoundByNameWhateverTheirOrder) {
  Mailbox sender = mailbox(0);
  Mailbox receiver = mailbox(1);
  for (const std::uint64_t step : {3, 1, 2}) {
    const auto byte = static_cast<std::byte>(step);
    sender.send(StageIndex(1), MessageKind::step_verdict, Step(step), std::span(&byte, 1));
  }
  for (const std::uint64_t step : {1, 2, 3}) {
    const auto message = receiver.await(MessageKind::step_verdict, Step(step), StageIndex(0));
    ASSERT_EQ(message.payload.size(), 1U);
    EXPECT_EQ(std::to_integer<std::uint64_t>(message.payload.data()[0]), step);
  }
  EXPECT_FALSE(receiver.take(MessageKind::step_verdict, Step(1), StageIndex(0)));
}

TEST_F(MailboxTest, AMessageThatComesTwiceIsTakenOnce) {
  Mailbox sender = mailbox(0);
  Mailbox receiver = mailbox(1);
  const auto say = [&](std::uint64_t step, int value) {
    const auto byte = static_cast<std::byte>(value);
    sender.send(StageIndex(1), MessageKind::step_verdict, Step(step), std::span(&byte, 1));
  };
  say(1, 10);
  say(1, 11);  // a name is unique in a run: whoever sends it again means the same
  say(2, 20);
  const auto last = receiver.await(MessageKind::step_verdict, Step(2), StageIndex(0));
  EXPECT_EQ(std::to_integer<int>(last.payload.data()[0]), 20);
  const auto first = receiver.take(MessageKind::step_verdict, Step(1), StageIndex(0));
  ASSERT_TRUE(first);
  EXPECT_EQ(std::to_integer<int>(first->payload.data()[0]), 10);
  EXPECT_FALSE(receiver.take(MessageKind::step_verdict, Step(1), StageIndex(0)));
}

TEST_F(MailboxTest, ASenderWaitsUntilItsReceiverHasCaughtUp) {
  constexpr std::uint64_t kMessages = 8;
  constexpr std::size_t kBytes = 8 << 20;
  Mailbox sender = mailbox(0);
  std::thread receiving([&] {
    Mailbox receiver = mailbox(1);
    for (std::uint64_t step = 0; step < kMessages; ++step) {
      receiver.await(MessageKind::activation, Step(step), StageIndex(0));
    }
    const std::byte done{};
    receiver.send(StageIndex(0), MessageKind::finish, Step(0), std::span(&done, 1));
  });
  for (std::uint64_t step = 0; step < kMessages; ++step) {
    sender.send(StageIndex(1), MessageKind::activation, Step(step), MicrobatchIndex(0), {},
                wire::MutableBuffer(kBytes).freeze());
    sender.await_queue(StageIndex(1), ByteCount(kBytes));
    EXPECT_LE(meshes_[0]->traffic(StageIndex(1)).queued.value(), kBytes);
  }
  sender.await(MessageKind::finish, Step(0), StageIndex(1));
  receiving.join();
}

TEST_F(MailboxTest, AStopRequestEndsTheWaitAfterItsTime) {
  Mailbox receiver = mailbox(1);
  ::raise(SIGTERM);
  const TimePoint begin = clock_.now();
  try {
    receiver.await(MessageKind::gradient, Step(5), StageIndex(0));
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::try_again);
  }
  EXPECT_GE(clock_.now() - begin, kFinishStepWithin);
  EXPECT_LT(clock_.now() - begin, kFinishCheckpointWithin);
}

TEST_F(MailboxTest, AWaitForWhatOneThatHasLeftDidNotSendEndsAtOnce) {
  Mailbox sender = mailbox(0);
  Mailbox receiver = mailbox(1);
  const auto byte = std::byte{1};
  sender.send(StageIndex(1), MessageKind::step_verdict, Step(1), std::span(&byte, 1));
  ASSERT_TRUE(meshes_[0]->close(std::chrono::seconds(10)));
  EXPECT_EQ(receiver.await(MessageKind::step_verdict, Step(1), StageIndex(0)).payload.size(), 1U);
  try {
    receiver.await(MessageKind::step_verdict, Step(2), StageIndex(0));
    FAIL() << "it came";
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::unavailable);
    EXPECT_NE(std::string(error.what()).find("stage 0 has left without step verdict of step 2"),
              std::string::npos)
        << error.what();
  }
}

}  // namespace
}  // namespace ptrain::stage
