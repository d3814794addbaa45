#include "tools/stage/engine/place.h"

#include <initializer_list>

#include <gtest/gtest.h>

namespace ptrain::stage {
namespace {

std::set<StageIndex> stages(std::initializer_list<std::uint32_t> list) {
  std::set<StageIndex> result;
  for (const std::uint32_t stage : list) result.insert(StageIndex(stage));
  return result;
}

TEST(Correspondents, AreTheNeighboursAndTheDriver) {
  EXPECT_EQ(correspondents({StageIndex(0), 1}), stages({}));
  EXPECT_EQ(correspondents({StageIndex(0), 4}), stages({1, 2, 3}));
  EXPECT_EQ(correspondents({StageIndex(1), 4}), stages({0, 2}));
  EXPECT_EQ(correspondents({StageIndex(2), 4}), stages({0, 1, 3}));
  EXPECT_EQ(correspondents({StageIndex(3), 4}), stages({0, 2}));
}

}  // namespace
}  // namespace ptrain::stage
