#include "libcommon/pipeline/step_progress.h"

#include <algorithm>
#include <random>

#include <gtest/gtest.h>

namespace ptrain::pipeline {
namespace {

Action forward(std::uint32_t microbatch) { return {Op::forward, MicrobatchIndex(microbatch)}; }
Action backward(std::uint32_t microbatch) { return {Op::backward, MicrobatchIndex(microbatch)}; }

std::vector<Action> alternating(std::uint32_t stages, std::uint32_t microbatches) {
  return schedule(job::PipelineSchedule::one_f_one_b, stages, StageIndex(0), microbatches, 0);
}

TEST(StepProgress, FollowsTheScheduleWhereNothingWaits) {
  for (const std::uint32_t stages : {1, 2, 5}) {
    for (const std::uint32_t microbatches : {1, 2, 7}) {
      const auto expected = alternating(stages, microbatches);
      StepProgress progress(expected);
      std::vector<Action> done;
      while (!progress.done()) {
        done.push_back(progress.next().front());
        progress.did(done.back());
      }
      EXPECT_EQ(done, expected) << stages << " stages, " << microbatches << " microbatches";
      EXPECT_TRUE(progress.next().empty());
    }
  }
}

TEST(StepProgress, TriesTheOtherKindWhileTheNextOfTheScheduleWaits) {
  StepProgress progress(alternating(3, 4));  // F0 F1 F2 B0 F3 B1 B2 B3
  EXPECT_EQ(progress.next(), (std::vector{forward(0)}));
  progress.did(forward(0));
  EXPECT_EQ(progress.next(), (std::vector{forward(1), backward(0)}));
  progress.did(backward(0));  // forward 1 has no activation so far
  EXPECT_EQ(progress.next(), (std::vector{forward(1)}));
  progress.did(forward(1));
  progress.did(forward(2));
  // The schedule's backward 0 is done: its forward 3 is next, within the depth.
  EXPECT_EQ(progress.next(), (std::vector{forward(3), backward(1)}));
}

TEST(StepProgress, HoldsNoMoreThanTheScheduleWhateverIsDone) {
  for (unsigned seed = 0; seed < 200; ++seed) {
    std::mt19937 random(seed);
    const std::uint32_t stages = 1 + random() % 6;
    const std::uint32_t microbatches = 1 + random() % 9;
    StepProgress progress(alternating(stages, microbatches));
    std::uint32_t forwards = 0;
    std::uint32_t backwards = 0;
    while (!progress.done()) {
      const auto next = progress.next();
      ASSERT_FALSE(next.empty());
      const Action action = next[random() % next.size()];
      std::uint32_t& count = action.op == Op::forward ? forwards : backwards;
      ASSERT_EQ(action.microbatch.value(), count++);  // each kind in its order
      progress.did(action);
      ASSERT_LE(progress.in_flight(), std::min(stages, microbatches));
      ASSERT_EQ(progress.in_flight(), forwards - backwards);
    }
    EXPECT_EQ(forwards, microbatches);
    EXPECT_EQ(backwards, microbatches);
  }
}

}  // namespace
}  // namespace ptrain::pipeline
