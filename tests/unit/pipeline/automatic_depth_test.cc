#include "libcommon/pipeline/automatic_depth.h"

#include <gtest/gtest.h>

namespace ptrain::pipeline {
namespace {

bool anything_fits(StageIndex, std::uint32_t) { return true; }

TEST(AutomaticDepth, IsTheNumberOfStagesUpToATenthOfAMicrobatch) {
  EXPECT_EQ(automatic_depth({.period_s = 1, .round_trips_s = {0.1, 0.1}}, 32, anything_fits), 3U);
  EXPECT_EQ(automatic_depth({.period_s = 1, .round_trips_s = {0.1, 0.11}}, 32, anything_fits),
            1U + 2 * (1 + 1));
}

TEST(AutomaticDepth, HidesTheLongestRoundTripOnEachLink) {
  EXPECT_EQ(automatic_depth({.period_s = 0.1, .round_trips_s = {0.01, 0.25}}, 32, anything_fits),
            1U + 2 * (1 + 3));
  EXPECT_EQ(automatic_depth({.period_s = 0.1, .round_trips_s = {0.01, 0.25}}, 8, anything_fits),
            8U);
  EXPECT_EQ(automatic_depth({.period_s = 0.1, .round_trips_s = {0.01, 0.25}}, 2, anything_fits),
            3U);
}

TEST(AutomaticDepth, IsNoMoreThanEachStageHasRoomFor) {
  const DepthCost cost{.period_s = 0.1, .round_trips_s = {0.25, 0.25}};
  const auto most = [&](std::uint32_t stage, std::uint32_t room) {
    return automatic_depth(cost, 32, [=](StageIndex asked, std::uint32_t depth) {
      return asked.value() != stage || depth <= room;
    });
  };
  EXPECT_EQ(most(0, 6), 6U);
  EXPECT_EQ(most(1, 3), 6U);  // 1 + 5 / 2 is 3, 1 + 6 / 2 would be 4
  EXPECT_EQ(most(2, 0), 3U);
}

TEST(AutomaticDepth, OneStageHasNothingToHide) {
  EXPECT_EQ(automatic_depth({.period_s = 1, .round_trips_s = {}}, 32, anything_fits), 1U);
}

}  // namespace
}  // namespace ptrain::pipeline
