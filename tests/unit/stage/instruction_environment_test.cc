// Variables that ask for more than the processor has.

#include "tools/stage/model/instruction_environment.h"

#include <gtest/gtest.h>

namespace ptrain::stage {
namespace {

TEST(InstructionEnvironmentTest, AChoiceNamesWhatItNeeds) {
  EXPECT_EQ(instructions_of("ATEN_CPU_CAPABILITY", "avx2"), "avx2");
  EXPECT_EQ(instructions_of("ATEN_CPU_CAPABILITY", "avx512"), "avx512f");
  EXPECT_EQ(instructions_of("OPENBLAS_CORETYPE", "SkylakeX"), "avx512f");
  EXPECT_EQ(instructions_of("OPENBLAS_CORETYPE", "SKYLAKEX"), "avx512f");
  EXPECT_EQ(instructions_of("OPENBLAS_CORETYPE", "Haswell"), "avx2");
}

TEST(InstructionEnvironmentTest, WhatEveryProcessorHasAndUnknownWordsNeedNothing) {
  EXPECT_EQ(instructions_of("ATEN_CPU_CAPABILITY", "default"), "");
  EXPECT_EQ(instructions_of("OPENBLAS_CORETYPE", "Nehalem"), "");
  EXPECT_EQ(instructions_of("OPENBLAS_CORETYPE", "Haswells"), "");
  EXPECT_EQ(instructions_of("OPENBLAS_CORETYPE", ""), "");
}

}  // namespace
}  // namespace ptrain::stage
