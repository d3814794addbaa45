#include "tools/stage/engine/place.h"

#include <initializer_list>
#include <vector>

#include <gtest/gtest.h>

namespace ptrain::stage {
namespace {

std::set<WorkerIndex> workers(std::initializer_list<std::uint32_t> list) {
  std::set<WorkerIndex> result;
  for (const std::uint32_t worker : list) result.insert(WorkerIndex(worker));
  return result;
}

TEST(Correspondents, AreTheNeighboursAndTheDriver) {
  EXPECT_EQ(correspondents({StageIndex(0), 1}), workers({}));
  EXPECT_EQ(correspondents({StageIndex(0), 4}), workers({1, 2, 3}));
  EXPECT_EQ(correspondents({StageIndex(1), 4}), workers({0, 2}));
  EXPECT_EQ(correspondents({StageIndex(2), 4}), workers({0, 1, 3}));
  EXPECT_EQ(correspondents({StageIndex(3), 4}), workers({0, 2}));
}

job::CellIndex cell(std::uint32_t stage, std::uint32_t lane) {
  return {StageIndex(stage), LaneIndex(lane)};
}

// Three stages in three lanes: two processes hold the first stage, one the second, three the third.
Place place(std::uint32_t worker) {
  return {WorkerIndex(worker),
          job::Layout({.stages = 3, .lanes = 3}, {{cell(0, 0), cell(0, 2)},
                                                  {cell(0, 1)},
                                                  {cell(1, 0), cell(1, 1), cell(1, 2)},
                                                  {cell(2, 2)},
                                                  {cell(2, 0)},
                                                  {cell(2, 1)}})};
}

TEST(Correspondents, AreWhoHoldsTheNextCellsOfOurLanesAndTheOtherLanesOfOurStage) {
  EXPECT_EQ(correspondents(place(0)), workers({1, 2, 3, 4, 5}));  // the driver
  EXPECT_EQ(correspondents(place(1)), workers({0, 2, 5}));
  EXPECT_EQ(correspondents(place(2)), workers({0, 1, 3, 4, 5}));
  EXPECT_EQ(correspondents(place(3)), workers({0, 2, 4, 5}));
  EXPECT_EQ(correspondents(place(4)), workers({0, 2, 3, 5}));
  EXPECT_EQ(correspondents(place(5)), workers({0, 1, 2, 3, 4}));
}

TEST(Place, WhoHoldsLane0LeadsAndOfTheFirstStageDrives) {
  for (const std::uint32_t worker : {0, 2, 4}) EXPECT_TRUE(place(worker).leads()) << worker;
  for (const std::uint32_t worker : {1, 3, 5}) EXPECT_FALSE(place(worker).leads()) << worker;
  EXPECT_TRUE(place(0).is_driver());
  EXPECT_EQ(place(3).holders(), (std::vector{WorkerIndex(4), WorkerIndex(5), WorkerIndex(3)}));
}

}  // namespace
}  // namespace ptrain::stage
