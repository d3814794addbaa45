#include "libcommon/net/frame_receiver.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "libcommon/net/frame_sender.h"
#include "libcommon/wire/checksum.h"
#include "tests/unit/net/mesh_fixture.h"

namespace ptrain::net {
namespace {

using testing::HasSubstr;
using Verdict = FrameReceiver::Verdict;
using wire::Channel;

constexpr std::uint64_t kNoLimit = std::uint64_t{1} << 40;

// The frames of one message, as a sender without credit worries cuts them.
std::vector<wire::Data> frames_of(wire::Message message) {
  FrameSender sender(Channel::bulk, kNoLimit);
  EXPECT_FALSE(sender.acknowledge({.next = 0, .credit_limit = kNoLimit}));
  sender.push(std::move(message));
  std::vector<wire::Data> frames;
  while (sender.ready()) frames.push_back(sender.next());
  return frames;
}

TEST(FrameReceiver, PutsAMessageOfManyFramesTogether) {
  const auto message = test_message(0, 1, (3u << 20) + 5);
  FrameReceiver receiver(Channel::bulk, kNoLimit, kNoLimit);
  const auto frames = frames_of(message);
  ASSERT_EQ(frames.size(), 4u);
  for (const auto& frame : frames) {
    EXPECT_FALSE(receiver.take());
    EXPECT_EQ(receiver.accept(frame).verdict, Verdict::accepted);
  }
  const auto got = receiver.take();
  ASSERT_TRUE(got);
  EXPECT_TRUE(holds(*got, message));
  EXPECT_EQ(reinterpret_cast<std::uintptr_t>(got->payload.data()) % wire::kBufferAlignment, 0u);
}

TEST(FrameReceiver, LeavesALargeMessageOfOneFrameWhereItIs) {
  FrameReceiver receiver(Channel::bulk, kNoLimit, kNoLimit);
  std::uint64_t number = 0;
  for (const std::size_t bytes : {kKeptFrameBytes - 1, kKeptFrameBytes, wire::kMaxFrameBytes}) {
    const auto message = test_message(0, 1, bytes);
    auto frames = frames_of(message);
    ASSERT_EQ(frames.size(), 1u);
    frames[0].sequence = number++;
    EXPECT_EQ(receiver.accept(frames[0]).verdict, Verdict::accepted);
    const auto got = receiver.take();
    ASSERT_TRUE(got);
    EXPECT_TRUE(holds(*got, message));
    EXPECT_EQ(got->payload.data() == frames[0].payload.data(), bytes >= kKeptFrameBytes) << bytes;
  }
}

TEST(FrameReceiver, MovesALargeMessageWhereItIsAlignedForNumbers) {
  const auto message = test_message(0, 1, kKeptFrameBytes);
  for (const std::size_t shift : {1u, 4u, 8u}) {
    FrameReceiver receiver(Channel::bulk, kNoLimit, kNoLimit);
    auto frame = frames_of(message).at(0);
    wire::MutableBuffer memory(kKeptFrameBytes + shift);
    std::ranges::copy(frame.payload.bytes(), memory.data() + shift);
    frame.payload = std::move(memory).freeze().slice(shift, kKeptFrameBytes);
    EXPECT_EQ(receiver.accept(frame).verdict, Verdict::accepted);
    const auto got = receiver.take();
    ASSERT_TRUE(got);
    EXPECT_TRUE(holds(*got, message));
    EXPECT_EQ(got->payload.data() == frame.payload.data(), shift == 8u) << shift;
  }
}

TEST(FrameReceiver, TakesEachFrameOnce) {
  FrameReceiver receiver(Channel::bulk, kNoLimit, kNoLimit);
  const auto frames = frames_of(test_message(0, 1, 10));
  EXPECT_EQ(receiver.accept(frames[0]).verdict, Verdict::accepted);
  EXPECT_EQ(receiver.accept(frames[0]).verdict, Verdict::duplicate);
  EXPECT_TRUE(receiver.take());
  EXPECT_FALSE(receiver.take());
}

TEST(FrameReceiver, AsksOnceForWhatIsMissing) {
  FrameReceiver receiver(Channel::bulk, kNoLimit, kNoLimit);
  const auto frames = frames_of(test_message(0, 1, 3u << 20));
  EXPECT_EQ(receiver.accept(frames[1]).verdict, Verdict::missing);
  EXPECT_TRUE(receiver.report().missing);
  EXPECT_EQ(receiver.accept(frames[2]).verdict, Verdict::missing);
  EXPECT_FALSE(receiver.report().missing) << "one hole, one question";
  receiver.peer_has_sent(3);
  EXPECT_TRUE(receiver.report().missing) << "a ping proves that it is still missing";
}

TEST(FrameReceiver, GivesUpWhenAFrameComesDamagedTooOften) {
  FrameReceiver receiver(Channel::bulk, kNoLimit, kNoLimit);
  auto frame = frames_of(test_message(0, 1, 10))[0];
  ++frame.checksum;
  for (int i = 1; i < kMaxDamagedInARow; ++i) {
    EXPECT_EQ(receiver.accept(frame).verdict, Verdict::missing) << i;
  }
  const auto outcome = receiver.accept(frame);
  EXPECT_EQ(outcome.verdict, Verdict::breach);
  EXPECT_THAT(outcome.why, HasSubstr("checksum"));
}

TEST(FrameReceiver, RefusesAMessageJustAboveTheLimitAndTakesOneAtIt) {
  constexpr std::uint64_t kLimit = 1000;
  FrameReceiver at(Channel::bulk, kNoLimit, kLimit);
  EXPECT_EQ(at.accept(frames_of(test_message(0, 1, kLimit))[0]).verdict, Verdict::accepted);
  FrameReceiver above(Channel::bulk, kNoLimit, kLimit);
  const auto outcome = above.accept(frames_of(test_message(0, 1, kLimit + 1))[0]);
  EXPECT_EQ(outcome.verdict, Verdict::breach);
  EXPECT_THAT(outcome.why, HasSubstr("1001 bytes, at most 1000"));
}

TEST(FrameReceiver, RefusesWhatGoesBeyondTheCredit) {
  FrameReceiver receiver(Channel::bulk, kMinCreditWindow, kNoLimit);
  const auto frames = frames_of(test_message(0, 1, 4 * wire::kMaxFrameBytes));
  EXPECT_EQ(receiver.accept(frames[0]).verdict, Verdict::accepted);
  EXPECT_EQ(receiver.accept(frames[1]).verdict, Verdict::accepted);
  EXPECT_EQ(receiver.accept(frames[2]).verdict, Verdict::breach) << "nothing was granted since";
}

TEST(FrameReceiver, GrantsCreditAsTheApplicationConsumes) {
  FrameReceiver receiver(Channel::bulk, kMinCreditWindow, kNoLimit);
  const auto before = receiver.report().credit_limit;
  EXPECT_EQ(receiver.accept(frames_of(test_message(0, 1, 1000))[0]).verdict, Verdict::accepted);
  EXPECT_EQ(receiver.report().credit_limit, before) << "complete, and still held";
  receiver.consumed(message_cost(1000));
  EXPECT_EQ(receiver.report().credit_limit, before + message_cost(1000));
}

TEST(FrameReceiver, RefusesFramesThatDoNotMakeAMessage) {
  const auto one = frames_of(test_message(0, 1, 2 * wire::kMaxFrameBytes));
  {
    FrameReceiver receiver(Channel::bulk, kNoLimit, kNoLimit);
    auto headless = one[1];
    headless.sequence = 0;
    EXPECT_THAT(receiver.accept(headless).why, HasSubstr("without a beginning"));
  }
  {
    FrameReceiver receiver(Channel::bulk, kNoLimit, kNoLimit);
    EXPECT_EQ(receiver.accept(one[0]).verdict, Verdict::accepted);
    auto second = one[0];
    second.sequence = 1;
    EXPECT_THAT(receiver.accept(second).why, HasSubstr("begins inside another"));
  }
  {
    FrameReceiver receiver(Channel::bulk, kNoLimit, kNoLimit);
    auto short_one = frames_of(test_message(0, 1, 100))[0];
    short_one.start->payload_bytes = 99;
    EXPECT_THAT(receiver.accept(short_one).why, HasSubstr("beyond its end"));
  }
  {
    FrameReceiver receiver(Channel::bulk, kNoLimit, kNoLimit);
    EXPECT_EQ(receiver.accept(one[0]).verdict, Verdict::accepted);
    auto empty = one[1];
    empty.payload = {};
    empty.checksum = wire::checksum({});
    EXPECT_THAT(receiver.accept(empty).why, HasSubstr("with nothing"));
  }
}

TEST(FrameSender, KeepsWhatIsNotAcknowledgedAndGoesBackToIt) {
  FrameSender sender(Channel::bulk, kNoLimit);
  EXPECT_FALSE(sender.acknowledge({.next = 0, .credit_limit = kNoLimit}));
  sender.push(test_message(0, 1, 3 * wire::kMaxFrameBytes));
  while (sender.ready()) sender.next();
  EXPECT_FALSE(sender.acknowledge({.next = 1, .credit_limit = kNoLimit}));
  sender.resend_from(0);
  EXPECT_EQ(sender.next().sequence, 1u) << "frame 0 has arrived and is forgotten";
  EXPECT_EQ(sender.next().sequence, 2u);
  EXPECT_FALSE(sender.ready());
  EXPECT_FALSE(sender.acknowledge({.next = 3, .credit_limit = kNoLimit}));
  EXPECT_TRUE(sender.all_acknowledged());
  EXPECT_EQ(sender.queued_cost(), 0u);
}

TEST(FrameSender, SendsNoMoreThanItsCredit) {
  FrameSender sender(Channel::bulk, kNoLimit);
  sender.push(test_message(0, 1, 100));
  EXPECT_FALSE(sender.ready());
  EXPECT_FALSE(sender.acknowledge({.next = 0, .credit_limit = frame_cost(100) - 1}));
  EXPECT_FALSE(sender.ready());
  EXPECT_FALSE(sender.acknowledge({.next = 0, .credit_limit = frame_cost(100)}));
  EXPECT_TRUE(sender.ready());
}

TEST(FrameSender, KeepsNoMoreThanItsLimit) {
  FrameSender sender(Channel::bulk, 2 * kMaxFrameCost);
  EXPECT_FALSE(sender.acknowledge({.next = 0, .credit_limit = kNoLimit}));
  sender.push(test_message(0, 1, 3 * wire::kMaxFrameBytes));
  sender.next();
  sender.next();
  EXPECT_FALSE(sender.ready());
  EXPECT_FALSE(sender.acknowledge({.next = 1, .credit_limit = kNoLimit}));
  EXPECT_TRUE(sender.ready());
}

TEST(FrameSender, NoticesAnAcknowledgementOfWhatWasNeverSent) {
  FrameSender sender(Channel::bulk, kNoLimit);
  const auto flaw = sender.acknowledge({.next = 1, .credit_limit = 0});
  ASSERT_TRUE(flaw);
  EXPECT_THAT(*flaw, HasSubstr("only 0 were sent"));
}

}  // namespace
}  // namespace ptrain::net
