#include "libcommon/plan/plan_outcome.h"

#include <gtest/gtest.h>

namespace ptrain::plan {
namespace {

// Two stages; a step takes 2 s.
class PlanOutcome : public ::testing::Test {
 protected:
  PlanOutcome() {
    plan_.view = {{StageIndex(0), 0, "east"}, {StageIndex(1), 0, "west"}};
    plan_.explanation["stages"] = {{{"compute_s", 1.5}, {"to_next_s", 0.5}, {"to_previous_s", 0}},
                                   {{"compute_s", 1.0}, {"to_next_s", 0}, {"to_previous_s", 0.25}}};
    // Of ten steps, as planned.
    stages_[0] = {.step_s = 20, .compute_s = 15, .to_next = {.busy_s = 5}};
    stages_[1] = {.step_s = 20, .compute_s = 10, .to_previous = {.busy_s = 2.5}};
  }

  std::string difference() const { return largest_difference(plan_, stages_, 2); }

  PlanFile plan_;
  std::vector<wire::StageTime> stages_{2};
};

TEST_F(PlanOutcome, NamesTheStageThatComputesForLonger) {
  stages_[1].compute_s = 16;
  stages_[0].to_next.busy_s = 6;
  EXPECT_EQ(difference(), "the computing of west, stage 1, takes 1.6 s of a step instead of 1 s");
}

TEST_F(PlanOutcome, NamesTheLinkThatIsBusyForLonger) {
  stages_[1].compute_s = 11;
  stages_[1].to_previous.busy_s = 9;
  EXPECT_EQ(difference(), "the link west to east is busy for 0.9 s of a step instead of 0.25 s");
  stages_[0].to_next.busy_s = 18;
  EXPECT_EQ(difference(), "the link east to west is busy for 1.8 s of a step instead of 0.5 s");
}

TEST_F(PlanOutcome, NamesWhatTookLessAsWell) {
  stages_[0].compute_s = 5;
  EXPECT_EQ(difference(), "the computing of east, stage 0, takes 0.5 s of a step instead of 1.5 s");
}

TEST_F(PlanOutcome, SaysNothingOfWhatNobodyKnows) {
  EXPECT_EQ(difference(), "") << "all as planned";
  stages_[1].compute_s = 16;
  plan_.explanation["stages"][1]["compute_s"] = "long";
  EXPECT_EQ(difference(), "");
  plan_.explanation["stages"][1] = 7;
  EXPECT_EQ(difference(), "");
  stages_[0].compute_s = 16;
  EXPECT_NE(difference(), "");
  stages_[1] = {};  // as an earlier release reports
  EXPECT_EQ(difference(), "");
  plan_.explanation.erase("stages");
  EXPECT_EQ(difference(), "");
}

TEST_F(PlanOutcome, SaysNothingWhereTheStagesAreNotThePlans) {
  stages_[1].compute_s = 16;
  stages_.push_back(stages_[1]);
  EXPECT_EQ(difference(), "");
}

}  // namespace
}  // namespace ptrain::plan
