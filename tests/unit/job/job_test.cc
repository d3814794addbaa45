#include "libcommon/job/job.h"

#include <algorithm>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "libcommon/base/sha256.h"
#include "libcommon/job/job_file.h"
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

// What was exact when fp32 was the default has the hash that it had.
TEST(JobHash, HasTheCodecThatCrossesTheWireAndNotTheWordForIt) {
  Job job;
  EXPECT_NE(canonical_json(job).find(R"("wire.backward":"fp32","wire.forward":"fp32")"),
            std::string::npos);
  Job named = job;
  named.wire_forward = named.wire_backward = WireCodec::fp32;
  EXPECT_EQ(job_hash(job), job_hash(named));
  job.precision = named.precision = ComputePrecision::bfloat16;
  EXPECT_NE(job_hash(job), job_hash(named)) << "stages with these two jobs must not meet";
  named.wire_forward = named.wire_backward = WireCodec::bf16;
  EXPECT_EQ(job_hash(job), job_hash(named));
}

constexpr const char* kJob = R"(
[model]
vocab_size = 256
hidden_size = 32
intermediate_size = 64
num_hidden_layers = 4
num_attention_heads = 4
[data]
train = "t.bin"
seq_len = 32
[batch]
global = 8
micro = 2
[train]
steps = 20
)";

// Of jobs that had checkpoints when these were the hashes: in float32, where no codec is named, and
// in bfloat16, where it is. A key that joins the table must be absent from them at its default.
TEST(JobHash, OfAJobThatExistsStays) {
  const Job job = parse_job(kJob, "job.toml");
  EXPECT_EQ(job_hash(job), "27520f4a93d834bdaeaa3e884673599a9bf3cc57f01a9ba179f2c2e6b47b79de");
  EXPECT_EQ(resume_hash(job), "22625d63fd66f6440721770a8c94c5a5a8393b72f4752d681584629f9cde3321");
  const Job narrow = parse_job(
      kJob, "job.toml", {"precision.compute=bfloat16", "wire.forward=bf16", "wire.backward=bf16"});
  EXPECT_EQ(job_hash(narrow), "07ea39b80861de7d923b4d5971d26dd7f1ee435e8745a9397bb8fa53bd7971cc");
  EXPECT_EQ(resume_hash(narrow),
            "22625d63fd66f6440721770a8c94c5a5a8393b72f4752d681584629f9cde3321");
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
