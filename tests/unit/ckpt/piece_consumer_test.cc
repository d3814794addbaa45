#include "libcommon/ckpt/piece_consumer.h"

#include <atomic>
#include <chrono>
#include <future>
#include <string>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

#include "libcommon/base/error.h"
#include "tests/unit/ckpt/error_of.h"

namespace ptrain::ckpt {
namespace {

std::vector<std::byte> piece(char value) { return {static_cast<std::byte>(value)}; }

TEST(PieceConsumer, ConsumesInOrderWhileBuffersAreUsedInTurn) {
  std::string consumed;
  std::vector<std::vector<std::byte>> buffers(PieceConsumer::kPiecesInUse + 1);
  PieceConsumer consumer(
      [&](PieceConsumer::Piece bytes) { consumed += static_cast<char>(bytes[0]); });
  std::string pushed;
  for (int i = 0; i < 10'000; ++i) {
    const char value = static_cast<char>('a' + i % 26);
    std::vector<std::byte>& buffer = buffers[static_cast<std::size_t>(i) % buffers.size()];
    buffer = piece(value);  // must not be in use any more
    consumer.push(buffer);
    pushed += value;
  }
  consumer.finish();
  EXPECT_EQ(consumed, pushed);
}

TEST(PieceConsumer, AsManyAsMayWaitAreTakenWhileOneIsBeingConsumed) {
  std::promise<void> gate;
  std::shared_future<void> open(gate.get_future());
  std::atomic<int> consumed = 0;
  PieceConsumer consumer([&](PieceConsumer::Piece) {
    open.wait();
    ++consumed;
  });
  const auto bytes = piece('x');
  for (std::size_t i = 0; i < PieceConsumer::kPiecesInUse; ++i) consumer.push(bytes);  // returns
  auto one_more = std::async(std::launch::async, [&] { consumer.push(bytes); });
  EXPECT_EQ(one_more.wait_for(std::chrono::milliseconds(50)), std::future_status::timeout);
  gate.set_value();
  one_more.get();
  consumer.finish();
  EXPECT_EQ(consumed, static_cast<int>(PieceConsumer::kPiecesInUse) + 1);
}

TEST(PieceConsumer, WhatItThrowsReachesTheOwnerAndNothingFollows) {
  int consumed = 0;
  PieceConsumer consumer([&](PieceConsumer::Piece) {
    ++consumed;
    throw Error(ErrorKind::internal, "no hash today");
  });
  const auto bytes = piece('x');
  const auto push_until_thrown = [&] {
    for (int i = 0; i < 10; ++i) consumer.push(bytes);
  };
  EXPECT_EQ(error_of(push_until_thrown, ErrorKind::internal), "no hash today");
  EXPECT_EQ(error_of([&] { consumer.finish(); }, ErrorKind::internal), "no hash today");
  EXPECT_EQ(consumed, 1);
}

// One is being consumed when the owner goes, for longer each time, until that was long enough for
// the owner to say so before the next one's turn; what drops nothing never gets there.
TEST(PieceConsumer, DropsWhatWaitsWhenItsOwnerGoes) {
  using namespace std::chrono_literals;
  const auto bytes = piece('x');
  constexpr int kPushed = PieceConsumer::kPiecesInUse;
  int consumed = kPushed;
  for (auto busy = 1ms; consumed == kPushed && busy < 10s; busy *= 2) {
    consumed = 0;
    std::promise<void> begun;
    {
      PieceConsumer consumer([&](PieceConsumer::Piece) {
        if (++consumed == 1) begun.set_value();
        std::this_thread::sleep_for(busy);
      });
      for (int i = 0; i < kPushed; ++i) consumer.push(bytes);
      begun.get_future().wait();
    }
    EXPECT_GE(consumed, 1);  // and none is any more
  }
  EXPECT_LT(consumed, kPushed);
}

}  // namespace
}  // namespace ptrain::ckpt
