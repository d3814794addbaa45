#include "tools/stage/engine/run_outline.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace ptrain::stage {
namespace {

job::Job small_job() {
  job::Job job;
  job.model = {.vocab_size = 1000,
               .hidden_size = 64,
               .intermediate_size = 128,
               .num_hidden_layers = 4,
               .num_attention_heads = 4,
               .num_key_value_heads = 4,
               .head_dim = 16,
               .max_position_embeddings = 32};
  job.data.seq_len = 32;
  job.batch = {.global = 16, .micro = 2};
  job.train.steps = 100;
  return job;
}

TEST(RunOutline, OneStageSaysWhatItHoldsAndWhatTheRunIs) {
  const job::Job job = small_job();
  const auto lines = outline({.job = job,
                              .place = Place(StageIndex(0), 1),
                              .span = {0, 4, true, true},
                              .begin = Step(20),
                              .in_flight = 0,
                              .memory = {.needed_bytes = 12'345'678},
                              .windows = 640});
  // 2 x 1000 x 64, 64 of the last norm, 4 layers of 4 x 64 x 64, 3 x 64 x 128 and two norms.
  EXPECT_THAT(
      lines, testing::ElementsAre("stage 0 of 1: embedding, layers 0 to 3, head; 292 k parameters; "
                                  "needs 12.3 MB of memory",
                                  "80 steps of 512 tokens each: 41.0 k tokens, 2 passes over "
                                  "data.train"));
}

TEST(RunOutline, TheDriverOfAPipelineSaysWhatItWillWait) {
  const job::Job job = small_job();
  const auto lines = outline({.job = job,
                              .place = Place(StageIndex(0), 4),
                              .span = {0, 1, true, false},
                              .begin = Step(0),
                              .in_flight = 0,
                              .memory = {.needed_bytes = 999},
                              .windows = std::nullopt});
  // (stages - 1) / (microbatches + stages - 1) of Narayanan et al. 2019: 3 / 11.
  EXPECT_THAT(lines,
              testing::ElementsAre("stage 0 of 4: embedding, layer 0; 105 k of 292 k parameters; "
                                   "needs 999 bytes of memory",
                                   "100 steps of 512 tokens each: 51.2 k tokens",
                                   "1f1b, 8 microbatches a step: equal stages on fast links wait "
                                   "27 % of it"));
}

TEST(RunOutline, OtherStagesSpeakForThemselvesAndAFinishedRunOfNoWork) {
  const job::Job job = small_job();
  RunOutline run{.job = job,
                 .place = Place(StageIndex(3), 4),
                 .span = {3, 4, false, true},
                 .begin = Step(0),
                 .in_flight = 0,
                 .memory = {.needed_bytes = 2'000'000'000},
                 .windows = 640};
  EXPECT_THAT(outline(run), testing::ElementsAre("stage 3 of 4: layer 3, head; 105 k of 292 k "
                                                 "parameters; needs 2.0 GB of memory"));
  run.place = Place(StageIndex(0), 4);
  run.begin = Step(100);
  EXPECT_EQ(outline(run).size(), 1u);
}

TEST(PredictedBubble, IsThatOfTheTextbookForEveryDepthThatIsEnough) {
  const job::Job job = small_job();
  for (const std::uint32_t stages : {1u, 2u, 4u, 8u}) {
    const double expected = (stages - 1.0) / (8 + stages - 1.0);
    EXPECT_NEAR(predicted_bubble(job, stages, 0), expected, 1e-9) << stages;
    EXPECT_NEAR(predicted_bubble(job, stages, stages + 3), expected, 1e-9) << stages;
  }
}

}  // namespace
}  // namespace ptrain::stage
