#include "libcommon/job/useful_threads.h"

#include <gtest/gtest.h>

namespace ptrain::job {
namespace {

// A microbatch of 1 sequence of 100 tokens in a model of width 100: 20,000 operations a column.
Job job_with(std::int64_t intermediate_size, std::int64_t vocab_size) {
  Job job;
  job.model = {.vocab_size = vocab_size,
               .hidden_size = 100,
               .intermediate_size = intermediate_size,
               .num_hidden_layers = 1,
               .num_attention_heads = 1,
               .head_dim = 100};
  job.data.seq_len = 100;
  job.batch = {.global = 1, .micro = 1};
  return job;
}

TEST(UsefulThreads, AreOneUntilTheLargestProductIsWorthTwo) {
  const std::int64_t columns = kOperationsPerThread / 20'000;
  EXPECT_EQ(useful_threads(job_with(1, 1), {}), 1);
  EXPECT_EQ(useful_threads(job_with(2 * columns - 1, 1), {}), 1);
  EXPECT_EQ(useful_threads(job_with(2 * columns, 1), {}), 2);
  EXPECT_EQ(useful_threads(job_with(17 * columns, 1), {}), 17);
}

TEST(UsefulThreads, CountTheHeadWhereItIs) {
  const std::int64_t columns = kOperationsPerThread / 20'000;
  const Job job = job_with(1, 8 * columns);
  EXPECT_EQ(useful_threads(job, {.layer_end = 1, .embedding = true}), 1);
  EXPECT_EQ(useful_threads(job, {.layer_end = 1, .head = true}), 8);
}

TEST(UsefulThreads, CountAllSequencesOfAMicrobatchAndNoneOfTheOthers) {
  Job job = job_with(kOperationsPerThread / 20'000, 1);
  job.batch.global = 64;
  EXPECT_EQ(useful_threads(job, {}), 1);
  job.batch.micro = 4;
  EXPECT_EQ(useful_threads(job, {}), 4);
}

TEST(UsefulThreads, OfTheLargestJobsDoNotOverflow) {
  Job job = job_with(std::int64_t{1} << 20, std::int64_t{1} << 31);
  job.model.hidden_size = 1 << 17;
  job.data.seq_len = 1 << 20;
  job.batch.micro = 1 << 16;
  EXPECT_GT(useful_threads(job, {.head = true}), 1 << 20);
}

}  // namespace
}  // namespace ptrain::job
