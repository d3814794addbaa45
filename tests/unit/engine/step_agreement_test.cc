#include "tools/stage/engine/step_agreement.h"

#include <cmath>
#include <limits>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "libcommon/base/error.h"

namespace ptrain::stage {
namespace {

const std::vector<double> kNoLoss{0.0};

TEST(StepAgreement, LossIsPerTokenAndNormIsTheRootOfAllSquares) {
  const std::vector<wire::StepReport> reports{{.gradient_squares = {9}},
                                              {.gradient_squares = {16}}};
  const wire::StepVerdict verdict = agree(Step(0), reports, std::vector{40.0}, 0, 20);
  EXPECT_EQ(verdict.loss, 2);
  EXPECT_EQ(verdict.gradient_norm, 5);
  EXPECT_EQ(verdict.clip_factor, 1);
  EXPECT_FALSE(verdict.stop);
}

TEST(StepAgreement, AGradientAboveTheNormIsScaledDownToIt) {
  const std::vector<wire::StepReport> reports{{.gradient_squares = {100}}};
  EXPECT_NEAR(agree(Step(0), reports, kNoLoss, 2.5, 1).clip_factor, 0.25, 1e-7);
  EXPECT_EQ(agree(Step(0), reports, kNoLoss, 11, 1).clip_factor, 1);
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
    return agree(Step(0), reports, kNoLoss, 1, 1).gradient_norm;
  };
  const double whole = norm({all.size()});
  for (std::size_t cut = 1; cut < all.size(); ++cut) EXPECT_EQ(norm({cut, all.size()}), whole);
}

// Of seven lanes the tree adds ((0 1) (2 3)) ((4 5) 6).
TEST(StepAgreement, LossesOfLanesAreAddedAsTheTreeSays) {
  const std::vector<double> losses{1e16, 1, 1, 1, 0.5, 0.25, 3};
  const double expected = ((1e16 + 1) + (1.0 + 1)) + ((0.5 + 0.25) + 3);
  const std::vector<wire::StepReport> reports{{.gradient_squares = {1}}};
  EXPECT_EQ(agree(Step(0), reports, losses, 0, 1).loss, expected);
  double in_turn = 0;
  for (const double loss : losses) in_turn += loss;
  EXPECT_NE(in_turn, expected) << "these losses show nothing";
}

TEST(StepAgreement, ADivergedRunIsAnErrorThatNamesTheStep) {
  const double nan = std::numeric_limits<double>::quiet_NaN();
  const double infinite = std::numeric_limits<double>::infinity();
  for (const auto& [loss, square] : {std::pair(nan, 1.0), std::pair(1.0, infinite)}) {
    try {
      const std::vector<wire::StepReport> reports{{.gradient_squares = {square}}};
      agree(Step(41), reports, std::vector{loss}, 1, 1);
      FAIL();
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::corrupt);
      EXPECT_NE(std::string(error.what()).find("step 41"), std::string::npos);
    }
  }
}

}  // namespace
}  // namespace ptrain::stage
