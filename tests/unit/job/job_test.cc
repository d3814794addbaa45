#include "libcommon/job/job.h"

#include <algorithm>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "libcommon/base/sha256.h"
#include "libcommon/job/job_keys.h"

namespace ptrain::job {
namespace {

OptimConfig schedule_of(LearningRateSchedule schedule) {
  return {.lr = 2.0, .schedule = schedule, .warmup_steps = 4, .min_lr_ratio = 0.1};
}

TEST(LearningRate, RisesLinearlyToItsPeakOverTheWarmUp) {
  const OptimConfig optim = schedule_of(LearningRateSchedule::cosine);
  EXPECT_DOUBLE_EQ(learning_rate(optim, 0, 104), 0.5);
  EXPECT_DOUBLE_EQ(learning_rate(optim, 1, 104), 1.0);
  EXPECT_DOUBLE_EQ(learning_rate(optim, 3, 104), 2.0);
  EXPECT_LT(learning_rate(optim, 4, 104), 2.0);
}

// Update 4, from step 3, is the peak, and update 104 the last: 54 is half way.
TEST(LearningRate, FallsToItsMinimumWhichTheLastUpdateHas) {
  EXPECT_DOUBLE_EQ(learning_rate(schedule_of(LearningRateSchedule::cosine), 53, 104), 1.1);
  EXPECT_DOUBLE_EQ(learning_rate(schedule_of(LearningRateSchedule::cosine), 103, 104), 0.2);
  EXPECT_DOUBLE_EQ(learning_rate(schedule_of(LearningRateSchedule::linear), 28, 104), 1.55);
  EXPECT_DOUBLE_EQ(learning_rate(schedule_of(LearningRateSchedule::linear), 103, 104), 0.2);
  EXPECT_DOUBLE_EQ(learning_rate(schedule_of(LearningRateSchedule::constant), 103, 104), 2.0);
}

TEST(LearningRate, EveryRunThatCanHasItsHighestAndItsLowest) {
  for (const auto schedule : {LearningRateSchedule::cosine, LearningRateSchedule::linear}) {
    for (const std::uint64_t warmup : {0, 1, 2, 5}) {
      OptimConfig optim = schedule_of(schedule);
      optim.warmup_steps = warmup;
      for (const std::uint64_t steps : {6, 7, 100}) {
        EXPECT_DOUBLE_EQ(learning_rate(optim, std::max<std::uint64_t>(warmup, 1) - 1, steps), 2.0);
        EXPECT_DOUBLE_EQ(learning_rate(optim, steps - 1, steps), 0.2);
        for (std::uint64_t step = std::max<std::uint64_t>(warmup, 1); step < steps; ++step) {
          EXPECT_LT(learning_rate(optim, step, steps), learning_rate(optim, step - 1, steps))
              << step;
        }
      }
    }
  }
}

TEST(LearningRate, ARunOfOneUpdateOrOfWarmUpAloneEndsAtItsHighest) {
  EXPECT_DOUBLE_EQ(learning_rate({.lr = 2.0, .warmup_steps = 0}, 0, 1), 2.0);
  EXPECT_DOUBLE_EQ(learning_rate({.lr = 2.0, .warmup_steps = 1}, 0, 1), 2.0);
  EXPECT_DOUBLE_EQ(learning_rate(schedule_of(LearningRateSchedule::linear), 3, 4), 2.0);
}

TEST(LearningRate, StaysAtItsEndBeyondTheLastUpdate) {
  const OptimConfig optim = schedule_of(LearningRateSchedule::linear);
  EXPECT_DOUBLE_EQ(learning_rate(optim, 1000, 104), 0.2);
  EXPECT_DOUBLE_EQ(learning_rate(optim, 1000, 4), 0.2);
}

TEST(JobHash, IsTheHashOfTheCanonicalText) {
  EXPECT_EQ(job_hash(Job{}), to_hex(sha256(canonical_json(Job{}))));
}

TEST(JobHash, ChangesWithExactlyTheKeysThatDecideTheWeightsOrTheRun) {
  for (const JobKey& key : job_keys()) {
    if (!key.integer_range) continue;
    Job job;
    const nlohmann::json before = key.read(job);
    ASSERT_FALSE(key.assign(
        job, before == key.integer_range->max ? key.integer_range->min : key.integer_range->max));
    EXPECT_EQ(job_hash(job) != job_hash(Job{}), key.scope != KeyScope::host) << key.name;
    EXPECT_EQ(resume_hash(job) != resume_hash(Job{}), key.scope == KeyScope::lineage) << key.name;
  }
}

TEST(JobHash, DoesNotSeeWhereThingsLieOnAHost) {
  Job job;
  job.data.train = {"/elsewhere/*.bin"};
  job.data.val = {"v.bin"};
  job.data.tokenizer = "m.model";
  job.checkpoint.dir = "/elsewhere";
  job.train.recompute = Recompute::layer;
  EXPECT_EQ(canonical_json(job), canonical_json(Job{}));
}

// As it was when only the end of a run was saved, and a number was all that could be said.
TEST(JobHash, DoesNotSeeThatCheckpointsAreDueByDefault) {
  const JobKey& every = *find_job_key("checkpoint.every");
  Job job;
  EXPECT_NE(canonical_json(job).find(R"("checkpoint.every":0,)"), std::string::npos);
  ASSERT_FALSE(every.assign(job, 0));
  EXPECT_EQ(canonical_json(job), canonical_json(Job{}));
  ASSERT_FALSE(every.assign(job, "300s"));
  EXPECT_EQ(canonical_json(job), canonical_json(Job{}));
  ASSERT_FALSE(every.assign(job, 50));
  EXPECT_NE(canonical_json(job).find(R"("checkpoint.every":50,)"), std::string::npos);
  ASSERT_FALSE(every.assign(job, "60s"));
  EXPECT_NE(canonical_json(job).find(R"("checkpoint.every":"1min",)"), std::string::npos);
}

TEST(ResumeHash, LetsARunGrowLongerAndBeCutOtherwise) {
  Job job;
  job.train.steps = 10;
  job.optim.lr = 1;
  job.optim.schedule = LearningRateSchedule::linear;
  job.batch.micro = 2;
  job.precision = ComputePrecision::bfloat16;
  job.wire_forward = WireCodec::int8;
  job.pipeline.layers = {1, 2};
  EXPECT_EQ(resume_hash(job), resume_hash(Job{}));
  EXPECT_NE(job_hash(job), job_hash(Job{}));
  job.train.seed = 1;
  EXPECT_NE(resume_hash(job), resume_hash(Job{}));
}

}  // namespace
}  // namespace ptrain::job
