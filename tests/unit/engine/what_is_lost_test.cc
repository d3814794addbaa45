#include "tools/stage/engine/what_is_lost.h"

#include <gtest/gtest.h>

namespace ptrain::stage {
namespace {

TEST(WhatIsLost, AreTheStepsSinceTheNewestCheckpoint) {
  EXPECT_EQ(what_is_lost({.trained = Step(92), .saved = Step(80)}),
            "12 steps since step 80 are lost; the same command goes on from step 80");
  EXPECT_EQ(what_is_lost({.trained = Step(81), .saved = Step(80)}),
            "1 step since step 80 is lost; the same command goes on from step 80");
  EXPECT_EQ(what_is_lost({.trained = Step(80), .saved = Step(80), .share = true}),
            "nothing is lost; the same command goes on from step 80");
}

TEST(WhatIsLost, PromisesNoCheckpointThatIsNotThere) {
  EXPECT_EQ(what_is_lost({.trained = Step(12), .saved = {}}),
            "12 steps are lost; the same command begins anew");
  EXPECT_EQ(what_is_lost({.trained = Step(0), .saved = {}}),
            "nothing is lost; the same command begins anew");
}

TEST(WhatIsLost, SaysWhichCommandGoesOn) {
  EXPECT_EQ(what_is_lost({.trained = Step(80), .saved = Step(80), .automatic = false}),
            "nothing is lost; the same command with --resume auto goes on from step 80");
}

TEST(WhatIsLost, DependsOnTheOthersWhereThisStageHasSavedItsShare) {
  EXPECT_EQ(
      what_is_lost({.trained = Step(92), .saved = Step(80), .share = true}),
      "this stage has saved its share of step 92: if all others have, the same command goes on "
      "from there; if not, it goes on from step 80, and up to 12 steps since step 80 are lost");
  EXPECT_EQ(
      what_is_lost({.trained = Step(1), .saved = {}, .share = true}),
      "this stage has saved its share of step 1: if all others have, the same command goes on "
      "from there; if not, it begins anew, and up to 1 step is lost");
}

}  // namespace
}  // namespace ptrain::stage
