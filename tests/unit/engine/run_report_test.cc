#include "tools/stage/engine/run_report.h"

#include <gtest/gtest.h>

namespace ptrain::stage {
namespace {

TEST(ProgressText, SaysHowFarHowWellHowFastAndHowLong) {
  const metrics::StepRecord record{.step = 120, .loss = 1.6344, .tokens_per_s = 14210};
  EXPECT_EQ(progress_text(record, 480, Step(0), std::chrono::seconds(60), std::nullopt),
            "step 120/480  loss 1.634  14.2k tokens/s  25 %  3 min 0 s left");
  EXPECT_EQ(progress_text(record, 480, Step(0), std::chrono::seconds(60), 1.7),
            "step 120/480  loss 1.634  val 1.700  14.2k tokens/s  25 %  3 min 0 s left");
}

TEST(ProgressText, TimeLeftCountsOnlyWhatThisProcessDid) {
  const metrics::StepRecord record{.step = 110, .loss = 2, .tokens_per_s = 950};
  EXPECT_EQ(progress_text(record, 120, Step(100), std::chrono::seconds(20), std::nullopt),
            "step 110/120  loss 2.000  950 tokens/s  91 %  20 s left");
}

job::Job job_of(std::uint64_t steps) {
  job::Job job;
  job.train.steps = steps;
  job.checkpoint.dir = "run/ckpt";
  return job;
}

TEST(BeginningText, SaysWhetherTheRunIsContinuedAndFromWhere) {
  EXPECT_EQ(beginning_text({}, job_of(200)),
            "starting anew, for 200 steps; checkpoints go to run/ckpt");
  EXPECT_EQ(beginning_text({.checkpoint = {Step(80), "ab"}}, job_of(200)),
            "continuing the run in run/ckpt from step 80 of 200");
  EXPECT_EQ(
      beginning_text({.checkpoint = {Step(92), "ab"}, .seal = true}, job_of(200)),
      "continuing the run in run/ckpt from step 92 of 200, of which every stage had saved its "
      "share");
  EXPECT_EQ(beginning_text({.checkpoint = {Step(200), "ab"}}, job_of(200)),
            "0 steps to do: the run in run/ckpt is at step 200 of 200");
}

TEST(SummaryText, SaysStepsLossesTimeAndSpeed) {
  TrainingOutcome outcome{.step = Step(200),
                          .loss = 1.63441,
                          .val_loss = 1.70119,
                          .checkpoint = {},
                          .tokens = 284000,
                          .time = std::chrono::seconds(200)};
  EXPECT_EQ(
      summary_text(outcome, job_of(200)),
      "step 200 of 200 is done: loss 1.6344, validation loss 1.7012 nats per token, 3 min 20 s, "
      "1420 tokens/s");
  outcome.val_loss.reset();
  EXPECT_EQ(summary_text(outcome, job_of(200)),
            "step 200 of 200 is done: loss 1.6344 nats per token, 3 min 20 s, 1420 tokens/s");
}

TEST(SummaryText, SaysThatNothingWasToBeDone) {
  TrainingOutcome outcome{.step = Step(200), .val_loss = 1.5, .checkpoint = {}};
  EXPECT_EQ(summary_text(outcome, job_of(200)),
            "0 steps to do: step 200 of 200 is done: validation loss 1.5000 nats per token");
  outcome.val_loss.reset();
  EXPECT_EQ(summary_text(outcome, job_of(200)), "0 steps to do: step 200 of 200 is done");
}

}  // namespace
}  // namespace ptrain::stage
