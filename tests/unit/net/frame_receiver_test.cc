#include "libcommon/net/frame_receiver.h"

#include <algorithm>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "libcommon/net/frame_sender.h"
#include "libcommon/wire/checksum.h"
#include "tests/unit/net/messages.h"

namespace ptrain::net {
namespace {

using testing::HasSubstr;
using Verdict = FrameReceiver::Verdict;
using wire::Urgency;

constexpr LinkId kLink(1);
constexpr std::uint64_t kNoLimit = std::uint64_t{1} << 40;

// The frames of one message, as a sender without credit worries cuts them.
std::vector<wire::Data> frames_of(wire::Message message) {
  FrameSender sender(Urgency::pipeline, kNoLimit);
  EXPECT_FALSE(sender.acknowledge({.next = 0, .credit_limit = kNoLimit}));
  sender.push(std::move(message));
  std::vector<wire::Data> frames;
  while (sender.ready()) frames.push_back(sender.next(kLink));
  return frames;
}

TEST(FrameReceiver, PutsAMessageOfManyFramesTogether) {
  const auto message = test_message(0, 1, (3u << 20) + 5);
  FrameReceiver receiver(Urgency::pipeline, kNoLimit, kNoLimit);
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
  FrameReceiver receiver(Urgency::pipeline, kNoLimit, kNoLimit);
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
    FrameReceiver receiver(Urgency::pipeline, kNoLimit, kNoLimit);
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
  FrameReceiver receiver(Urgency::pipeline, kNoLimit, kNoLimit);
  const auto frames = frames_of(test_message(0, 1, 10));
  EXPECT_EQ(receiver.accept(frames[0]).verdict, Verdict::accepted);
  EXPECT_EQ(receiver.accept(frames[0]).verdict, Verdict::duplicate);
  EXPECT_TRUE(receiver.take());
  EXPECT_FALSE(receiver.take());
}

TEST(FrameReceiver, PutsFramesBackIntoOrder) {
  const auto message = test_message(0, 1, 3u << 20);
  FrameReceiver receiver(Urgency::pipeline, kNoLimit, kNoLimit);
  const auto frames = frames_of(message);
  EXPECT_EQ(receiver.accept(frames[2]).verdict, Verdict::accepted);
  EXPECT_EQ(receiver.accept(frames[1]).verdict, Verdict::accepted);
  EXPECT_EQ(receiver.accept(frames[1]).verdict, Verdict::duplicate);
  EXPECT_EQ(receiver.next(), 0u);
  EXPECT_FALSE(receiver.take());
  EXPECT_EQ(receiver.accept(frames[0]).verdict, Verdict::accepted);
  EXPECT_EQ(receiver.next(), 3u);
  const auto got = receiver.take();
  ASSERT_TRUE(got);
  EXPECT_TRUE(holds(*got, message));
}

TEST(FrameReceiver, WhatIsAheadOfAHoleIsBoundedByTheCredit) {
  FrameReceiver receiver(Urgency::pipeline, kMinCreditWindow, kNoLimit);
  const auto frames = frames_of(test_message(0, 1, 8 * wire::kMaxFrameBytes));
  std::uint64_t held = 0;
  for (std::size_t i = 1; i < frames.size(); ++i) {
    receiver.report();  // it grants nothing for what lies here
    if (receiver.accept(frames[i]).verdict == Verdict::breach) break;
    held += frame_cost(frames[i].payload.size());
  }
  EXPECT_GT(held, 0u);
  EXPECT_LE(held, kMinCreditWindow);
}

TEST(FrameReceiver, TakesNoMoreMemoryThanTwiceWhatHasCome) {
  // A word of 2^50 bytes, which no machine has: only what is sent is taken.
  FrameReceiver receiver(Urgency::pipeline, kNoLimit, std::uint64_t{1} << 50);
  auto frames = frames_of(test_message(0, 1, 3 * wire::kMaxFrameBytes));
  frames[0].start->payload_bytes = std::uint64_t{1} << 50;
  for (const auto& frame : frames) EXPECT_EQ(receiver.accept(frame).verdict, Verdict::accepted);
}

TEST(FrameReceiver, PutsALongMessageTogetherThatOutgrowsItsFirstMemory) {
  const auto message = test_message(0, 1, 2 * kFirstAssemblyBytes + 77);
  FrameReceiver receiver(Urgency::pipeline, kNoLimit, kNoLimit);
  for (const auto& frame : frames_of(message)) receiver.accept(frame);
  const auto got = receiver.take();
  ASSERT_TRUE(got);
  EXPECT_TRUE(holds(*got, message));
}

TEST(FrameReceiver, GivesUpWhenAFrameComesDamagedTooOften) {
  FrameReceiver receiver(Urgency::pipeline, kNoLimit, kNoLimit);
  auto frame = frames_of(test_message(0, 1, 10))[0];
  ++frame.checksum;
  for (int i = 1; i < kMaxDamagedInARow; ++i) {
    EXPECT_EQ(receiver.accept(frame).verdict, Verdict::damaged) << i;
  }
  const auto outcome = receiver.accept(frame);
  EXPECT_EQ(outcome.verdict, Verdict::breach);
  EXPECT_THAT(outcome.why, HasSubstr("checksum"));
}

TEST(FrameReceiver, RefusesAMessageJustAboveTheLimitAndTakesOneAtIt) {
  constexpr std::uint64_t kLimit = 1000;
  FrameReceiver at(Urgency::pipeline, kNoLimit, kLimit);
  EXPECT_EQ(at.accept(frames_of(test_message(0, 1, kLimit))[0]).verdict, Verdict::accepted);
  FrameReceiver above(Urgency::pipeline, kNoLimit, kLimit);
  const auto outcome = above.accept(frames_of(test_message(0, 1, kLimit + 1))[0]);
  EXPECT_EQ(outcome.verdict, Verdict::breach);
  EXPECT_THAT(outcome.why, HasSubstr("1001 bytes, at most 1000"));
}

TEST(FrameReceiver, RefusesWhatGoesBeyondTheCredit) {
  FrameReceiver receiver(Urgency::pipeline, kMinCreditWindow, kNoLimit);
  const auto frames = frames_of(test_message(0, 1, 4 * wire::kMaxFrameBytes));
  EXPECT_EQ(receiver.accept(frames[0]).verdict, Verdict::accepted);
  EXPECT_EQ(receiver.accept(frames[1]).verdict, Verdict::accepted);
  EXPECT_EQ(receiver.accept(frames[2]).verdict, Verdict::breach) << "nothing was granted since";
}

TEST(FrameReceiver, GrantsCreditAsTheApplicationConsumes) {
  FrameReceiver receiver(Urgency::pipeline, kMinCreditWindow, kNoLimit);
  const auto before = receiver.report().credit_limit;
  EXPECT_EQ(receiver.accept(frames_of(test_message(0, 1, 1000))[0]).verdict, Verdict::accepted);
  EXPECT_EQ(receiver.report().credit_limit, before) << "complete, and still held";
  receiver.consumed(message_cost(1000));
  EXPECT_EQ(receiver.report().credit_limit, before + message_cost(1000));
}

TEST(FrameReceiver, RefusesFramesThatDoNotMakeAMessage) {
  const auto one = frames_of(test_message(0, 1, 2 * wire::kMaxFrameBytes));
  {
    FrameReceiver receiver(Urgency::pipeline, kNoLimit, kNoLimit);
    auto headless = one[1];
    headless.sequence = 0;
    EXPECT_THAT(receiver.accept(headless).why, HasSubstr("without a beginning"));
  }
  {
    FrameReceiver receiver(Urgency::pipeline, kNoLimit, kNoLimit);
    EXPECT_EQ(receiver.accept(one[0]).verdict, Verdict::accepted);
    auto second = one[0];
    second.sequence = 1;
    EXPECT_THAT(receiver.accept(second).why, HasSubstr("begins inside another"));
  }
  {
    FrameReceiver receiver(Urgency::pipeline, kNoLimit, kNoLimit);
    auto short_one = frames_of(test_message(0, 1, 100))[0];
    short_one.start->payload_bytes = 99;
    EXPECT_THAT(receiver.accept(short_one).why, HasSubstr("beyond its end"));
  }
  {
    FrameReceiver receiver(Urgency::pipeline, kNoLimit, kNoLimit);
    EXPECT_EQ(receiver.accept(one[0]).verdict, Verdict::accepted);
    auto empty = one[1];
    empty.payload = {};
    empty.checksum = wire::checksum({});
    EXPECT_THAT(receiver.accept(empty).why, HasSubstr("with nothing"));
  }
}

TEST(FrameSender, SendsAgainWhatWasOnABrokenLinkAndNothingElse) {
  FrameSender sender(Urgency::pipeline, kNoLimit);
  EXPECT_FALSE(sender.acknowledge({.next = 0, .credit_limit = kNoLimit}));
  sender.push(test_message(0, 1, 4 * wire::kMaxFrameBytes));
  const LinkId one(1);
  const LinkId two(2);
  for (const LinkId link : {one, two, one, one}) sender.next(link);
  sender.arrived(2);
  for (const std::uint64_t sequence : {0u, 2u, 3u}) sender.lost(sequence, one);
  EXPECT_EQ(sender.next(two).sequence, 0u);
  EXPECT_EQ(sender.next(two).sequence, 3u) << "2 has arrived, though 0 has not";
  EXPECT_FALSE(sender.ready());
  sender.lost(0, one);
  EXPECT_FALSE(sender.ready()) << "it is on another link by now";
  EXPECT_FALSE(sender.acknowledge({.next = 4, .credit_limit = kNoLimit}));
  EXPECT_TRUE(sender.all_acknowledged());
  EXPECT_EQ(sender.queued_cost(), 0u);
}

TEST(FrameSender, ALowerRankGoesFirstButDivesIntoNoMessage) {
  FrameSender sender(Urgency::pipeline, kNoLimit);
  EXPECT_FALSE(sender.acknowledge({.next = 0, .credit_limit = kNoLimit}));
  sender.push(test_message(0, 1, wire::kMaxFrameBytes + 1), 5);
  EXPECT_EQ(sender.next(kLink).start->name.step, Step(1));
  sender.push(test_message(0, 2, 10), 5);
  sender.push(test_message(0, 3, 10), 4);
  sender.push(test_message(0, 4, 10), 4);
  EXPECT_FALSE(sender.next(kLink).start) << "the rest of the first";
  for (const std::uint64_t step : {3u, 4u, 2u}) {
    EXPECT_EQ(sender.next(kLink).start->name.step, Step(step));
  }
}

TEST(FrameSender, SendsNoMoreThanItsCredit) {
  FrameSender sender(Urgency::pipeline, kNoLimit);
  sender.push(test_message(0, 1, 100));
  EXPECT_FALSE(sender.ready());
  EXPECT_FALSE(sender.acknowledge({.next = 0, .credit_limit = frame_cost(100) - 1}));
  EXPECT_FALSE(sender.ready());
  EXPECT_FALSE(sender.acknowledge({.next = 0, .credit_limit = frame_cost(100)}));
  EXPECT_TRUE(sender.ready());
}

TEST(FrameSender, KeepsNoMoreThanItsLimit) {
  FrameSender sender(Urgency::pipeline, 2 * kMaxFrameCost);
  EXPECT_FALSE(sender.acknowledge({.next = 0, .credit_limit = kNoLimit}));
  sender.push(test_message(0, 1, 3 * wire::kMaxFrameBytes));
  sender.next(kLink);
  sender.next(kLink);
  EXPECT_FALSE(sender.ready());
  EXPECT_FALSE(sender.acknowledge({.next = 1, .credit_limit = kNoLimit}));
  EXPECT_TRUE(sender.ready());
}

TEST(FrameSender, NoticesAnAcknowledgementOfWhatWasNeverSent) {
  FrameSender sender(Urgency::pipeline, kNoLimit);
  const auto flaw = sender.acknowledge({.next = 1, .credit_limit = 0});
  ASSERT_TRUE(flaw);
  EXPECT_THAT(*flaw, HasSubstr("only 0 were sent"));
}

}  // namespace
}  // namespace ptrain::net
