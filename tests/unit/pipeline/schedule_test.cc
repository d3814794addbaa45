#include "libcommon/pipeline/schedule.h"

#include <string>

#include <gtest/gtest.h>

#include "libcommon/base/error.h"

namespace ptrain::pipeline {
namespace {

using job::PipelineSchedule;

// "F0 F1 B0 B1", as papers draw it.
std::string drawn(const std::vector<Action>& actions) {
  std::string text;
  for (const Action& action : actions) {
    text += (text.empty() ? "" : " ") + std::string(action.op == Op::forward ? "F" : "B") +
            std::to_string(action.microbatch.value());
  }
  return text;
}

std::string drawn(PipelineSchedule kind, std::uint32_t stages, std::uint32_t stage,
                  std::uint32_t microbatches, std::int64_t in_flight = 0) {
  return drawn(schedule(kind, stages, StageIndex(stage), microbatches, in_flight));
}

TEST(Gpipe, DoesAllForwardsThenAllBackwards) {
  EXPECT_EQ(drawn(PipelineSchedule::gpipe, 4, 0, 3), "F0 F1 F2 B0 B1 B2");
  EXPECT_EQ(drawn(PipelineSchedule::gpipe, 4, 3, 3), "F0 F1 F2 B0 B1 B2");
}

TEST(OneFOneB, FillsThenAlternatesThenDrains) {
  EXPECT_EQ(drawn(PipelineSchedule::one_f_one_b, 3, 0, 5), "F0 F1 F2 B0 F3 B1 F4 B2 B3 B4");
  EXPECT_EQ(drawn(PipelineSchedule::one_f_one_b, 3, 1, 5), "F0 F1 B0 F2 B1 F3 B2 F4 B3 B4");
  EXPECT_EQ(drawn(PipelineSchedule::one_f_one_b, 3, 2, 5), "F0 B0 F1 B1 F2 B2 F3 B3 F4 B4");
}

TEST(OneFOneB, OfOneStageGoesBackwardAtOnce) {
  EXPECT_EQ(drawn(PipelineSchedule::one_f_one_b, 1, 0, 2, 8), "F0 B0 F1 B1");
}

TEST(OneFOneB, TakesMoreDepthWhereItIsAskedFor) {
  EXPECT_EQ(drawn(PipelineSchedule::one_f_one_b, 2, 0, 4, 3), "F0 F1 F2 B0 F3 B1 B2 B3");
  EXPECT_EQ(drawn(PipelineSchedule::one_f_one_b, 4, 3, 2, 99), "F0 B0 F1 B1");
  EXPECT_EQ(drawn(PipelineSchedule::one_f_one_b, 4, 0, 2, 1), "F0 B0 F1 B1");
}

TEST(Schedules, DoEveryMicrobatchOnceEachWayInOrderWithinTheirDepth) {
  for (std::uint32_t stages = 1; stages <= 6; ++stages) {
    for (std::uint32_t microbatches = 1; microbatches <= 9; ++microbatches) {
      for (std::int64_t in_flight = 0; in_flight <= 12; ++in_flight) {
        for (std::uint32_t stage = 0; stage < stages; ++stage) {
          const auto actions = schedule(PipelineSchedule::one_f_one_b, stages, StageIndex(stage),
                                        microbatches, in_flight);
          std::uint32_t forwards = 0;
          std::uint32_t backwards = 0;
          for (const Action& action : actions) {
            auto& done = action.op == Op::forward ? forwards : backwards;
            EXPECT_EQ(action.microbatch.value(), done++);
            EXPECT_LE(backwards, forwards);
          }
          EXPECT_EQ(forwards, microbatches);
          EXPECT_EQ(backwards, microbatches);
          EXPECT_EQ(peak_in_flight(actions),
                    one_f_one_b_depth(stages, StageIndex(stage), microbatches, in_flight));
          const std::int64_t allowed = in_flight == 0 ? stages : in_flight;
          EXPECT_LE(peak_in_flight(actions), static_cast<std::size_t>(allowed));
        }
      }
    }
  }
}

TEST(Schedules, HoldEveryMicrobatchInGpipeAndAsManyAsStagesRemainIn1F1B) {
  EXPECT_EQ(peak_in_flight(schedule(PipelineSchedule::gpipe, 4, StageIndex(2), 16, 0)), 16u);
  for (std::uint32_t stage = 0; stage < 4; ++stage) {
    EXPECT_EQ(peak_in_flight(schedule(PipelineSchedule::one_f_one_b, 4, StageIndex(stage), 16, 0)),
              4 - stage);
  }
}

TEST(Schedules, RefuseWhatCannotBe) {
  EXPECT_THROW(schedule(PipelineSchedule::gpipe, 2, StageIndex(2), 1, 0), Error);
  EXPECT_THROW(schedule(PipelineSchedule::gpipe, 2, StageIndex(0), 0, 0), Error);
  EXPECT_THROW(schedule(PipelineSchedule::one_f_one_b, 2, StageIndex(0), 1, -1), Error);
}

}  // namespace
}  // namespace ptrain::pipeline
