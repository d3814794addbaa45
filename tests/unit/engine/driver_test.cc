#include "tools/stage/engine/driver.h"

#include <map>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "libcommon/base/error.h"

namespace ptrain::stage {
namespace {

using testing::HasSubstr;

job::CellIndex cell(std::uint32_t stage, std::uint32_t lane) {
  return {StageIndex(stage), LaneIndex(lane)};
}

job::Job job_of_lanes(std::int64_t lanes) {
  job::Job job;
  job.batch = {.global = 6, .micro = 1};
  job.data.seq_len = 1;
  job.lanes.count = lanes;
  return job;
}

// Two stages in three lanes: one process holds the whole first stage, three the second.
class DriverTest : public testing::Test {
 protected:
  void report(std::uint32_t worker, std::vector<double> losses, std::uint64_t digest = 0,
              double square = 4) {
    driver_.report(
        WorkerIndex(worker),
        {.loss_sums = std::move(losses), .gradient_squares = {square}, .state_digest = digest});
  }
  std::string refusal() {
    try {
      driver_.decide(Step(7));
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::corrupt);
      return error.what();
    }
    return "nothing was refused";
  }

  job::Job job_ = job_of_lanes(3);
  Driver driver_{
      job_, job::Layout(
                {.stages = 2, .lanes = 3},
                {{cell(0, 0), cell(0, 1), cell(0, 2)}, {cell(1, 1)}, {cell(1, 0)}, {cell(1, 2)}})};
};

TEST_F(DriverTest, DecidesWhenAllHaveReported) {
  report(0, {0, 0, 0}, 0, 5);
  report(1, {10});
  report(3, {5});
  EXPECT_EQ(driver_.missing(), WorkerIndex(2));
  report(2, {3});
  EXPECT_EQ(driver_.missing(), std::nullopt);
  const wire::StepVerdict verdict = driver_.decide(Step(7));
  EXPECT_EQ(verdict.loss, 18.0 / 6);
  EXPECT_EQ(verdict.gradient_norm, 3) << "the squares of a stage count once";
  EXPECT_EQ(driver_.missing(), WorkerIndex(0)) << "the next step's reports are to come";
}

TEST_F(DriverTest, AnyWorkerThatIsToldToStopStopsAll) {
  for (const std::uint32_t asked : {0, 3}) {
    for (const std::uint32_t worker : {0, 1, 2, 3}) {
      driver_.report(WorkerIndex(worker), {.loss_sums = std::vector<double>(worker == 0 ? 3 : 1),
                                           .gradient_squares = {1},
                                           .stop_requested = worker == asked});
    }
    EXPECT_TRUE(driver_.decide(Step(0)).stop);
  }
}

TEST_F(DriverTest, OfThreeHoldersOfAStageTheOneThatDiffersIsNamed) {
  report(0, {0, 0, 0});
  report(1, {1}, 11);
  report(2, {1}, 12);
  report(3, {1}, 11);
  EXPECT_THAT(refusal(), HasSubstr("stage 1, lane 0 and stage 1, lane 1 hold different weights in "
                                   "step 7: one of them has computed wrong, most likely stage 1, "
                                   "lane 0"));
}

TEST_F(DriverTest, SumsOfGradientsThatDifferAreAnErrorWhateverTheWeightsSay) {
  report(0, {0, 0, 0});
  report(1, {1});
  report(2, {1});
  report(3, {1}, 0, 4.000001);
  EXPECT_THAT(refusal(), HasSubstr("sums of gradients in step 7"));
}

TEST_F(DriverTest, OfTwoHoldersNobodyKnowsWhichOneIsWrong) {
  Driver two(job_,
             job::Layout({.stages = 1, .lanes = 3}, {{cell(0, 0), cell(0, 1)}, {cell(0, 2)}}));
  two.report(WorkerIndex(0), {.loss_sums = {1, 1}, .gradient_squares = {1}, .state_digest = 1});
  two.report(WorkerIndex(1), {.loss_sums = {1}, .gradient_squares = {1}, .state_digest = 2});
  try {
    two.decide(Step(0));
    ADD_FAILURE() << "nothing was refused";
  } catch (const Error& error) {
    EXPECT_THAT(error.what(), testing::Not(HasSubstr("most likely")));
  }
}

TEST_F(DriverTest, RemembersWhoComputesInWhichNumericsClass) {
  report(0, {0, 0, 0});
  EXPECT_TRUE(driver_.classes().empty()) << "nobody has said anything";
  driver_.report(WorkerIndex(1),
                 {.loss_sums = {1}, .gradient_squares = {4}, .numerics_class = "a"});
  driver_.report(WorkerIndex(2),
                 {.loss_sums = {1}, .gradient_squares = {4}, .numerics_class = "b"});
  driver_.report(WorkerIndex(3),
                 {.loss_sums = {1}, .gradient_squares = {4}, .numerics_class = "a"});
  const std::map<std::string, std::vector<WorkerIndex>> expected{
      {"a", {WorkerIndex(1), WorkerIndex(3)}}, {"b", {WorkerIndex(2)}}};
  EXPECT_EQ(driver_.classes(), expected);
}

TEST_F(DriverTest, LossesOfOtherLanesThanAWorkerHoldsAreRefused) {
  report(0, {0, 0, 0});
  report(1, {1});
  report(2, {1, 1});
  report(3, {1});
  EXPECT_THAT(refusal(), HasSubstr("losses of 2 lanes, and it holds 1"));
}

}  // namespace
}  // namespace ptrain::stage
