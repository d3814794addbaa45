#include "libcommon/elastic/watermarks.h"

#include <cstdint>
#include <map>
#include <random>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "libcommon/base/error.h"
#include "tests/unit/elastic/views.h"

namespace ptrain::elastic {
namespace {

using wire::MessageKind;

Position at(std::uint64_t step, std::uint32_t microbatch = 0, std::uint32_t part = 0) {
  return {Step(step), MicrobatchIndex(microbatch), part};
}
Channel forward(std::uint32_t from, std::uint32_t to) {
  return {MessageKind::activation, cell_at(from), cell_at(to)};
}

TEST(WatermarksTest, WhatWasConsumedIsNotWantedAgain) {
  Watermarks marks;
  marks.begin_at(cell_at(1), Step(10));
  const Channel channel = forward(0, 1);
  EXPECT_TRUE(marks.wants(channel, at(10)));
  EXPECT_EQ(marks.last(channel), std::nullopt);
  marks.consumed(channel, at(10, 2));
  EXPECT_EQ(marks.last(channel), at(10, 2));
  EXPECT_FALSE(marks.wants(channel, at(10, 2)));
  EXPECT_FALSE(marks.wants(channel, at(10, 1, 7)));
  EXPECT_TRUE(marks.wants(channel, at(10, 2, 1)));
  EXPECT_TRUE(marks.wants(channel, at(10, 3)));
  EXPECT_TRUE(marks.wants(channel, at(11)));
}

TEST(WatermarksTest, ChannelsAreApart) {
  Watermarks marks;
  marks.begin_at(cell_at(1), Step(0));
  marks.begin_at(cell_at(2), Step(0));
  marks.consumed(forward(0, 1), at(5));
  EXPECT_TRUE(marks.wants({MessageKind::gradient, cell_at(0), cell_at(1)}, at(0)));
  EXPECT_TRUE(marks.wants(forward(0, 2), at(0)));
  EXPECT_TRUE(marks.wants(forward(2, 1), at(0)));
}

TEST(WatermarksTest, WhoBeginsAtAStepWantsNothingBeforeItAndAllOfIt) {
  Watermarks marks;
  marks.begin_at(cell_at(1), Step(10));
  EXPECT_FALSE(marks.wants(forward(0, 1), at(9, 99)));
  EXPECT_TRUE(marks.wants(forward(0, 1), at(10, 0)));
}

TEST(WatermarksTest, ForACellThatIsNotHeldNothingIsWanted) {
  Watermarks marks;
  EXPECT_FALSE(marks.wants(forward(0, 1), at(0)));
  EXPECT_FALSE(marks.holds(cell_at(1)));
  marks.begin_at(cell_at(1), Step(0));
  EXPECT_TRUE(marks.holds(cell_at(1)));
  marks.consumed(forward(0, 1), at(0));
  marks.give_up(cell_at(1));
  EXPECT_FALSE(marks.wants(forward(0, 1), at(1)));
  EXPECT_EQ(marks.last(forward(0, 1)), std::nullopt);
}

TEST(WatermarksTest, ARefilledCellConsumesAgainAndItsNeighboursDropWhatTheyHaveSeen) {
  Watermarks marks;  // of a peer that holds both
  marks.begin_at(cell_at(0), Step(0));
  marks.begin_at(cell_at(1), Step(0));
  const Channel there = forward(0, 1);
  const Channel back{MessageKind::gradient, cell_at(1), cell_at(0)};
  marks.consumed(there, at(7));
  marks.consumed(back, at(7));
  marks.begin_at(cell_at(1), Step(5));  // from its checkpoint
  EXPECT_TRUE(marks.wants(there, at(5)));
  EXPECT_FALSE(marks.wants(back, at(5)));
  EXPECT_FALSE(marks.wants(back, at(7)));
  EXPECT_TRUE(marks.wants(back, at(8)));
}

TEST(WatermarksTest, ConsumingTwiceIsADefectAndSaysWhatAndWhen) {
  Watermarks marks;
  marks.begin_at(cell_at(1), Step(0));
  marks.consumed(forward(0, 1), at(3, 1));
  try {
    marks.consumed(forward(0, 1), at(3, 0));
    FAIL() << "it was consumed twice";
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::internal);
    EXPECT_EQ(std::string(error.what()),
              "activation from cell 0,0 to cell 1,0, step 3, microbatch 0, part 0, is consumed a "
              "second time, after step 3, microbatch 1, part 0");
  }
  EXPECT_EQ(marks.last(forward(0, 1)), at(3, 1));
}

// Against a model that remembers every message of every life: whatever is delivered, late, early or
// again, and whenever the cell is filled anew, each life consumes every message once and in order.
TEST(WatermarksTest, EveryLifeOfACellConsumesEveryMessageOnceAndInOrder) {
  for (std::uint64_t seed = 1; seed <= 200; ++seed) {
    std::mt19937_64 random(seed);
    const std::vector<Channel> channels{forward(0, 1), forward(2, 1), forward(1, 0)};
    Watermarks marks;
    std::map<job::CellIndex, Step> begun;
    std::map<Channel, std::set<Position>> waiting;
    std::map<Channel, std::vector<Position>> eaten;  // in this life
    const auto begin = [&](std::uint32_t stage) {
      const job::CellIndex cell = cell_at(stage);
      begun[cell] = Step(random() % 4);
      marks.begin_at(cell, begun[cell]);
      for (const Channel& channel : channels) {
        if (channel.destination != cell) continue;
        waiting[channel].clear();
        eaten[channel].clear();
      }
    };
    begin(0);
    begin(1);
    for (int event = 0; event < 300; ++event) {
      const Channel channel = channels[random() % channels.size()];
      if (random() % 60 == 0) begin(random() % 2);
      const Position position = at(random() % 6, random() % 2);
      const auto& before = eaten[channel];
      const bool is_news = position.step >= begun[channel.destination] &&
                           (before.empty() || before.back() < position);
      ASSERT_EQ(marks.wants(channel, position), is_news) << "seed " << seed;
      if (is_news) waiting[channel].insert(position);
      if (waiting[channel].empty() || random() % 2 == 0) continue;
      const Position next = *waiting[channel].begin();
      waiting[channel].erase(next);
      if (!marks.wants(channel, next)) continue;
      marks.consumed(channel, next);
      ASSERT_TRUE(eaten[channel].empty() || eaten[channel].back() < next) << "seed " << seed;
      eaten[channel].push_back(next);
    }
  }
}

}  // namespace
}  // namespace ptrain::elastic
