#include "libcommon/job/layout.h"

#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "libcommon/base/error.h"

namespace ptrain::job {
namespace {

using testing::HasSubstr;

CellIndex cell(std::uint32_t stage, std::uint32_t lane) {
  return {StageIndex(stage), LaneIndex(lane)};
}

std::string refusal(CellGrid grid, const std::vector<std::vector<CellIndex>>& workers) {
  try {
    const Layout layout(grid, workers);
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::usage);
    return error.what();
  }
  return "nothing was refused";
}

TEST(Layout, KnowsWhoHoldsWhat) {
  const Layout layout(
      {.stages = 2, .lanes = 3},
      {{cell(1, 2), cell(1, 0)}, {cell(0, 0), cell(0, 1), cell(0, 2)}, {cell(1, 1)}});
  EXPECT_EQ(layout.workers(), 3u);
  EXPECT_EQ(layout.holder_of(cell(1, 0)), WorkerIndex(0));
  EXPECT_EQ(layout.holder_of(cell(0, 2)), WorkerIndex(1));
  EXPECT_EQ(layout.cells_of(WorkerIndex(0)), (std::vector{cell(1, 0), cell(1, 2)}));
  EXPECT_EQ(layout.holders_of(StageIndex(1)), (std::vector{WorkerIndex(0), WorkerIndex(2)}));
  EXPECT_EQ(layout.called(WorkerIndex(0)), "stage 1, lanes 0 and 2");
  EXPECT_EQ(layout.called(WorkerIndex(1)), "stage 0");
  EXPECT_EQ(layout.called(WorkerIndex(2)), "stage 1, lane 1");
  EXPECT_EQ(layout.text(), "1,0 1,2; 0,0 0,1 0,2; 1,1");
}

TEST(Layout, OfStagesHasAWorkerEach) {
  const Layout layout = Layout::of_stages(3);
  EXPECT_EQ(layout.workers(), 3u);
  for (std::uint32_t i = 0; i < 3; ++i) {
    EXPECT_EQ(layout.holder_of(cell(i, 0)), WorkerIndex(i));
    EXPECT_EQ(layout.called(WorkerIndex(i)), "stage " + std::to_string(i));
  }
}

TEST(Layout, ACellThatNobodyHoldsOrTwoDoIsNamed) {
  const CellGrid grid{.stages = 1, .lanes = 2};
  EXPECT_THAT(refusal(grid, {{cell(0, 0)}}), HasSubstr("nobody holds cell 0,1"));
  EXPECT_THAT(refusal(grid, {{cell(0, 0), cell(0, 1)}, {cell(0, 1)}}),
              HasSubstr("cell 0,1 is given twice"));
  EXPECT_THAT(refusal(grid, {{cell(0, 0), cell(0, 2)}}), HasSubstr("cell 0,2: the job has 1"));
  EXPECT_THAT(refusal(grid, {{cell(0, 0), cell(0, 1)}, {}}), HasSubstr("process 1 holds no cell"));
}

TEST(Layout, AProcessHoldsOneStage) {
  EXPECT_THAT(refusal({.stages = 2, .lanes = 1}, {{cell(0, 0), cell(1, 0)}}),
              HasSubstr("one process holds cell 0,0 and cell 1,0"));
}

TEST(CellText, IsStageCommaLane) {
  EXPECT_EQ(parse_cell("12,3"), cell(12, 3));
  for (const char* text :
       {"", ",", "1", "1,", ",1", "1,2,3", "-1,2", "1, 2", "a,1", "99999999999,0"}) {
    EXPECT_THROW(parse_cell(text), Error) << text;
  }
}

}  // namespace
}  // namespace ptrain::job
