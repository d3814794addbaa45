#include "tools/stage/engine/step_agreement.h"

#include <cmath>
#include <limits>

#include <gtest/gtest.h>

#include "libcommon/base/error.h"

namespace ptrain::stage {
namespace {

TEST(StepAgreement, LossIsPerTokenAndNormIsTheRootOfAllSquares) {
  const std::vector<wire::StepReport> reports{{.gradient_squares = {9}},
                                              {.loss_sum = 40, .gradient_squares = {16}}};
  const wire::StepVerdict verdict = agree(Step(0), reports, 0, 20);
  EXPECT_EQ(verdict.loss, 2);
  EXPECT_EQ(verdict.gradient_norm, 5);
  EXPECT_EQ(verdict.clip_factor, 1);
  EXPECT_FALSE(verdict.stop);
}

TEST(StepAgreement, AGradientAboveTheNormIsScaledDownToIt) {
  const std::vector<wire::StepReport> reports{{.gradient_squares = {100}}};
  EXPECT_NEAR(agree(Step(0), reports, 2.5, 1).clip_factor, 0.25, 1e-7);
  EXPECT_EQ(agree(Step(0), reports, 11, 1).clip_factor, 1);
}

// A sum that depends on its order: the small squares vanish beside the large one, unless
// they are added first.
TEST(StepAgreement, TheCutOfTheJobChangesNoBit) {
  const double small = 1e-16;
  const std::vector<double> all{1.0, small, small, small, small, 1e16, -0.0, small, 3.0};
  const auto norm = [&](const std::vector<std::size_t>& cuts) {
    std::vector<wire::StepReport> reports;
    std::size_t begin = 0;
    for (const std::size_t end : cuts) {
      reports.push_back({.gradient_squares = {all.begin() + static_cast<std::ptrdiff_t>(begin),
                                              all.begin() + static_cast<std::ptrdiff_t>(end)}});
      begin = end;
    }
    return agree(Step(0), reports, 1, 1).gradient_norm;
  };
  const double whole = norm({all.size()});
  for (std::size_t cut = 1; cut < all.size(); ++cut) EXPECT_EQ(norm({cut, all.size()}), whole);
}

TEST(StepAgreement, OneStageThatMustStopStopsAll) {
  const std::vector<wire::StepReport> reports{
      {}, {.gradient_squares = {}, .stop_requested = true}, {}};
  EXPECT_TRUE(agree(Step(0), reports, 1, 1).stop);
}

TEST(StepAgreement, ADivergedRunIsAnErrorThatNamesTheStep) {
  const std::vector<wire::StepReport> nan{
      {.loss_sum = std::numeric_limits<double>::quiet_NaN(), .gradient_squares = {1}}};
  const std::vector<wire::StepReport> infinite{
      {.loss_sum = 1, .gradient_squares = {std::numeric_limits<double>::infinity()}}};
  for (const auto& reports : {nan, infinite}) {
    try {
      agree(Step(41), reports, 1, 1);
      FAIL();
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::corrupt);
      EXPECT_NE(std::string(error.what()).find("step 41"), std::string::npos);
    }
  }
}

}  // namespace
}  // namespace ptrain::stage
