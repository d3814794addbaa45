// Who is asked for what, whatever becomes of the holders.

#include "libcommon/transfer/chunk_plan.h"

#include <random>

#include <gtest/gtest.h>

namespace ptrain::transfer {
namespace {

constexpr HolderIndex kA{0};
constexpr HolderIndex kB{1};
constexpr HolderIndex kC{2};
constexpr TimePoint kNow{};

std::set<ChunkId> chunks(std::uint32_t files, std::uint32_t each) {
  std::set<ChunkId> all;
  for (std::uint32_t file = 0; file < files; ++file) {
    for (std::uint32_t chunk = 0; chunk < each; ++chunk) all.insert({file, chunk});
  }
  return all;
}

TEST(ChunkPlan, EveryChunkIsAskedOfOneHolderInOrder) {
  ChunkPlan plan(chunks(1, 4));
  plan.add_holder(kA, {0});
  plan.add_holder(kB, {0});
  EXPECT_EQ(plan.next(kA, kNow), (ChunkId{0, 0}));
  EXPECT_EQ(plan.next(kB, kNow), (ChunkId{0, 1}));
  EXPECT_EQ(plan.next(kA, kNow), (ChunkId{0, 2}));
  EXPECT_EQ(plan.in_flight(kA), 2u);
  EXPECT_TRUE(plan.arrived(kA, {0, 0}));
  EXPECT_FALSE(plan.arrived(kA, {0, 0}));
  EXPECT_EQ(plan.remaining(), 3u);
}

TEST(ChunkPlan, AHolderIsAskedOnlyForWhatItHas) {
  ChunkPlan plan(chunks(2, 1));
  plan.add_holder(kA, {1});
  EXPECT_EQ(plan.next(kA, kNow), (ChunkId{1, 0}));
  EXPECT_EQ(plan.next(kA, kNow), std::nullopt);
  EXPECT_EQ(plan.orphan(), (ChunkId{0, 0}));
  plan.add_holder(kB, {0});
  EXPECT_EQ(plan.orphan(), std::nullopt);
}

TEST(ChunkPlan, WhatALostHolderOwedIsAskedOfAnother) {
  ChunkPlan plan(chunks(1, 2));
  plan.add_holder(kA, {0});
  plan.add_holder(kB, {0});
  plan.next(kA, kNow);
  plan.next(kA, kNow);
  EXPECT_EQ(plan.remaining(), 2u);
  plan.remove_holder(kA);
  EXPECT_EQ(plan.next(kB, kNow), (ChunkId{0, 0}));
  EXPECT_EQ(plan.next(kB, kNow), (ChunkId{0, 1}));
}

TEST(ChunkPlan, ARefusedChunkIsNotAskedOfThatHolderAgain) {
  ChunkPlan plan(chunks(1, 1));
  plan.add_holder(kA, {0});
  plan.next(kA, kNow);
  plan.refused(kA, {0, 0});
  EXPECT_EQ(plan.next(kA, kNow), std::nullopt);
  EXPECT_EQ(plan.orphan(), (ChunkId{0, 0}));
  plan.add_holder(kB, {0});
  EXPECT_EQ(plan.next(kB, kNow), (ChunkId{0, 0}));
}

TEST(ChunkPlan, NothingIsAskedTwiceBeforeTheEnd) {
  ChunkPlan plan(chunks(1, 3));
  plan.add_holder(kA, {0});
  plan.add_holder(kB, {0});
  EXPECT_TRUE(plan.next(kA, kNow));
  EXPECT_TRUE(plan.next(kA, kNow));
  EXPECT_TRUE(plan.next(kB, kNow));
  EXPECT_EQ(plan.next(kB, kNow), std::nullopt);  // it has one in flight itself
  EXPECT_EQ(plan.next(kA, kNow), std::nullopt);
}

TEST(ChunkPlan, AtTheEndAnIdleHolderRepeatsWhatTheSlowestWouldSendLast) {
  ChunkPlan plan(chunks(1, 3));
  plan.add_holder(kA, {0});
  plan.add_holder(kB, {0});
  plan.next(kA, kNow);
  plan.next(kA, kNow);
  plan.next(kB, kNow);
  EXPECT_TRUE(plan.arrived(kB, {0, 2}));
  EXPECT_EQ(plan.next(kB, kNow), (ChunkId{0, 1}));
  // Two owe it: a third is not asked for it, but for the other.
  plan.add_holder(kC, {0});
  EXPECT_EQ(plan.next(kC, kNow), (ChunkId{0, 0}));
  EXPECT_TRUE(plan.arrived(kB, {0, 1}));
  EXPECT_FALSE(plan.arrived(kA, {0, 1}));
}

TEST(ChunkPlan, WhatSeveralOweForLongIsAskedOfAnIdleOneAllTheSame) {
  ChunkPlan plan(chunks(1, 1));
  for (const HolderIndex holder : {kA, kB, kC}) plan.add_holder(holder, {0});
  EXPECT_TRUE(plan.next(kA, kNow));
  EXPECT_TRUE(plan.next(kB, kNow));
  EXPECT_EQ(plan.next(kC, kNow + kOverdue - Duration(1)), std::nullopt);
  EXPECT_EQ(plan.next(kC, kNow + kOverdue), (ChunkId{0, 0}));
  EXPECT_TRUE(plan.arrived(kC, {0, 0}));
  EXPECT_EQ(plan.remaining(), 0u);
}

TEST(ChunkPlan, ACopyThatIsLostLeavesTheOtherOwed) {
  ChunkPlan plan(chunks(1, 1));
  plan.add_holder(kA, {0});
  plan.add_holder(kB, {0});
  plan.next(kA, kNow);
  plan.next(kB, kNow);
  plan.remove_holder(kB);
  EXPECT_EQ(plan.orphan(), std::nullopt);
  EXPECT_EQ(plan.remaining(), 1u);
  EXPECT_TRUE(plan.arrived(kA, {0, 0}));
  EXPECT_EQ(plan.remaining(), 0u);
}

TEST(ChunkPlan, AHolderThatComesBackStartsAnew) {
  ChunkPlan plan(chunks(1, 1));
  plan.add_holder(kA, {0});
  plan.next(kA, kNow);
  plan.refused(kA, {0, 0});
  plan.add_holder(kA, {0});
  EXPECT_EQ(plan.next(kA, kNow), (ChunkId{0, 0}));
}

// Holders that come, go, refuse and answer at random: every chunk arrives, and while there is
// anything else to ask for, none is owed twice.
TEST(ChunkPlan, EveryChunkArrivesWhateverTheHoldersDo) {
  for (std::uint64_t seed = 0; seed < 200; ++seed) {
    std::mt19937_64 random(seed);
    const auto roll = [&](std::uint64_t n) { return random() % n; };
    ChunkPlan plan(chunks(3, 7));
    plan.add_holder(kC, {0, 1, 2});  // never lost, never refuses
    std::map<HolderIndex, std::vector<ChunkId>> owed;
    std::set<ChunkId> here;
    for (int turn = 0; turn < 2000 && plan.remaining() > 0; ++turn) {
      const HolderIndex holder(static_cast<std::uint32_t>(roll(3)));
      auto& queue = owed[holder];
      const std::uint64_t what = roll(20);
      if (what == 0 && holder != kC) {
        plan.remove_holder(holder);
        queue.clear();
      } else if (what == 1 && holder != kC) {
        plan.add_holder(holder, {static_cast<std::uint32_t>(roll(3))});
        queue.clear();
      } else if (what < 12) {
        if (auto chunk = plan.next(holder, kNow)) queue.push_back(*chunk);
      } else if (!queue.empty()) {
        const ChunkId chunk = queue.front();
        queue.erase(queue.begin());
        if (what == 12 && holder != kC) {
          plan.refused(holder, chunk);
        } else {
          EXPECT_EQ(plan.arrived(holder, chunk), here.insert(chunk).second);
        }
      }
    }
    EXPECT_EQ(here, chunks(3, 7)) << "seed " << seed;
  }
}

}  // namespace
}  // namespace ptrain::transfer
