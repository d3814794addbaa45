#include "tools/stage/engine/in_flight_choice.h"

#include <gtest/gtest.h>

namespace ptrain::stage {
namespace {

constexpr int kMicrobatches = 32;

job::Job job_of(std::int64_t in_flight) {
  job::Job job;
  job.batch = {.global = kMicrobatches, .micro = 1};
  job.pipeline.in_flight = in_flight;
  return job;
}

// What stages that compute `compute_s` a microbatch report before step `step`, whose links have
// that round trip and carry a microbatch in no time.
std::vector<wire::StageTime> reports(std::uint64_t step, std::size_t stages, double compute_s,
                                     double round_trip_s) {
  wire::StageTime one;
  one.compute_s = compute_s * kMicrobatches * static_cast<double>(step - 1);
  one.to_next.round_trip_s = round_trip_s;
  one.to_previous.round_trip_s = round_trip_s;
  one.most_in_flight = 1000;
  return std::vector<wire::StageTime>(stages, one);
}

TEST(InFlightChoice, IsWhatTheJobSaysWhereItSaysANumber) {
  const job::Job job = job_of(9);
  InFlightChoice choice(job);
  EXPECT_EQ(choice.now(), 9u);
  for (std::uint64_t step = 1; step < 10; ++step) choice.measured(reports(step, 4, 0.1, 10));
  EXPECT_EQ(choice.now(), 9u);
}

TEST(InFlightChoice, IsTheNumberOfStagesWhereLinksAreFast) {
  const job::Job job = job_of(job::kAutoInFlight);
  InFlightChoice choice(job);
  EXPECT_EQ(choice.now(), 0u);  // as many as there are stages
  for (std::uint64_t step = 1; step < 10; ++step) choice.measured(reports(step, 4, 0.1, 0.0005));
  EXPECT_EQ(choice.now(), 0u);
}

TEST(InFlightChoice, WhatTheFirstStepTakesDoesNotCount) {
  const job::Job job = job_of(job::kAutoInFlight);
  InFlightChoice choice(job);
  for (std::uint64_t step = 1; step < 6; ++step) {
    auto stages = reports(step, 4, 0.1, 0.0005);
    // Its messages were under way for as long as ten steps compute.
    for (auto& stage : stages) stage.to_next.busy_s = step > 1 ? 32 : 0;
    choice.measured(stages);
  }
  EXPECT_EQ(choice.now(), 0u);
}

TEST(InFlightChoice, CountsTheTimeOnTheWireWhereThatIsMuch) {
  const job::Job job = job_of(job::kAutoInFlight);
  InFlightChoice choice(job);
  for (std::uint64_t step = 1; step < 6; ++step) {
    auto stages = reports(step, 4, 0.1, 0.0005);
    for (auto& stage : stages) {
      stage.to_next.busy_s = 0.1 * kMicrobatches * static_cast<double>(step - 1);
    }
    choice.measured(stages);
  }
  EXPECT_EQ(choice.now(), 1u + 3 * (1 + 2));  // 0.1 s there and the round trip
}

TEST(InFlightChoice, IsTheNumberOfStagesWhereMemoryIsNotKnown) {
  const job::Job job = job_of(job::kAutoInFlight);
  InFlightChoice choice(job);
  for (std::uint64_t step = 1; step < 6; ++step) {
    auto stages = reports(step, 4, 0.1, 0.25);
    stages[2].most_in_flight = 0;
    choice.measured(stages);
  }
  EXPECT_EQ(choice.now(), 0u);
}

TEST(InFlightChoice, HidesTheRoundTripOfSlowLinksOnceItHasSeenSomeSteps) {
  const job::Job job = job_of(job::kAutoInFlight);
  InFlightChoice choice(job);
  choice.measured(reports(1, 4, 0.1, 0.25));
  choice.measured(reports(2, 4, 0.1, 0.25));
  EXPECT_EQ(choice.now(), 0u);
  choice.measured(reports(3, 4, 0.1, 0.25));
  EXPECT_EQ(choice.now(), 1u + 3 * (1 + 3));  // three microbatches take longer than a round trip
}

TEST(InFlightChoice, IsAtMostAllMicrobatches) {
  const job::Job job = job_of(job::kAutoInFlight);
  InFlightChoice choice(job);
  for (std::uint64_t step = 1; step < 5; ++step) choice.measured(reports(step, 8, 0.01, 1));
  EXPECT_EQ(choice.now(), static_cast<std::uint32_t>(kMicrobatches));
}

TEST(InFlightChoice, IsNoMoreThanEveryStageHasMemoryFor) {
  const job::Job job = job_of(job::kAutoInFlight);
  InFlightChoice choice(job);
  for (std::uint64_t step = 1; step < 5; ++step) {
    auto stages = reports(step, 4, 0.1, 0.25);
    stages[1].most_in_flight = 5;  // it holds two thirds of what the first holds beyond one
    choice.measured(stages);
  }
  EXPECT_EQ(choice.now(), 8u);  // 1 + 7 * 2 / 3 is 5, 1 + 8 * 2 / 3 would be 6
}

TEST(InFlightChoice, NeverBecomesLess) {
  const job::Job job = job_of(job::kAutoInFlight);
  InFlightChoice choice(job);
  for (std::uint64_t step = 1; step < 5; ++step) choice.measured(reports(step, 4, 0.1, 0.25));
  EXPECT_EQ(choice.now(), 13u);
  for (std::uint64_t step = 5; step < 30; ++step) choice.measured(reports(step, 4, 0.1, 0.15));
  EXPECT_EQ(choice.now(), 13u);
  choice.measured(reports(30, 4, 0.1, 0.35));
  EXPECT_EQ(choice.now(), 16u);
}

TEST(InFlightChoice, OneStageHasNothingToHide) {
  const job::Job job = job_of(job::kAutoInFlight);
  InFlightChoice choice(job);
  for (std::uint64_t step = 1; step < 5; ++step) choice.measured(reports(step, 1, 0.1, 5));
  EXPECT_EQ(choice.now(), 0u);
}

}  // namespace
}  // namespace ptrain::stage
