#include "tools/lab_link/frames_under_way.h"

#include <gtest/gtest.h>

namespace ptrain::lab_link {
namespace {

using namespace std::chrono_literals;

const std::vector<std::byte> kShort(60, std::byte{1});
const std::vector<std::byte> kLong(1514, std::byte{2});

TEST(FramesUnderWay, LeaveInTheOrderInWhichTheyCame) {
  FramesUnderWay frames;
  EXPECT_FALSE(frames.next_arrival());
  frames.add(TimePoint{} + 1ms, kShort);
  frames.add(TimePoint{} + 1ms, kLong);
  EXPECT_EQ(frames.next_arrival(), TimePoint{} + 1ms);
  EXPECT_EQ(frames.take_next(), kShort);
  EXPECT_EQ(frames.take_next(), kLong);
  EXPECT_FALSE(frames.next_arrival());
}

TEST(FramesUnderWay, TakeNoMoreMemoryThanAllowedAndGiveItBack) {
  FramesUnderWay frames(kLong.size() + kShort.size());
  frames.add(TimePoint{}, kLong);
  EXPECT_TRUE(frames.has_room_for(kShort.size()));
  EXPECT_FALSE(frames.has_room_for(kShort.size() + 1));
  frames.add(TimePoint{}, kShort);
  EXPECT_FALSE(frames.has_room_for(1));
  frames.take_next();
  EXPECT_TRUE(frames.has_room_for(kLong.size()));
  EXPECT_FALSE(frames.has_room_for(kLong.size() + 1));
}

}  // namespace
}  // namespace ptrain::lab_link
