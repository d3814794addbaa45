#include "tools/stage/engine/memory_need.h"

#include <gtest/gtest.h>

namespace ptrain::stage {
namespace {

TEST(MemoryNeed, IsStateCopyAndActivations) {
  const auto need = memory_need(1000, job::ComputePrecision::float32, 1, true, ByteCount(77));
  EXPECT_EQ(need.state_bytes, 16'000u);
  EXPECT_EQ(need.snapshot_bytes, 12'000u);
  EXPECT_EQ(need.activation_bytes, 77u);
  EXPECT_EQ(need.needed_bytes, 28'077u);
}

TEST(MemoryNeed, HasACopyOfTheParametersInBfloat16) {
  const auto need = memory_need(1000, job::ComputePrecision::bfloat16, 1, true, ByteCount(0));
  EXPECT_EQ(need.state_bytes, 18'000u);
}

TEST(MemoryNeed, HasGradientsOfEachLaneAndACopyOnlyWhereItSaves) {
  const auto need = memory_need(1000, job::ComputePrecision::float32, 3, false, ByteCount(0));
  EXPECT_EQ(need.state_bytes, 24'000u);
  EXPECT_EQ(need.snapshot_bytes, 0u);
  EXPECT_EQ(need.needed_bytes, 24'000u);
}

}  // namespace
}  // namespace ptrain::stage
