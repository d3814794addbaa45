// A cell of a job: one stage of one lane (design: a stage is a contiguous range of blocks, a lane a
// share of the batch). Values.

#pragma once

#include <compare>
#include <cstdint>
#include <string>
#include <vector>

#include "libcommon/base/units.h"

namespace ptrain::job {

struct CellIndex {
  StageIndex stage;
  LaneIndex lane;

  auto operator<=>(const CellIndex&) const = default;
};

// "cell 2,1": stage 2, lane 1.
std::string to_string(const CellIndex& cell);

// A job's cells: every stage in every lane.
struct CellGrid {
  std::uint32_t stages = 1;
  std::uint32_t lanes = 1;

  std::uint64_t count() const { return std::uint64_t{stages} * lanes; }
  bool contains(const CellIndex& cell) const {
    return cell.stage.value() < stages && cell.lane.value() < lanes;
  }
  // In ascending order.
  std::vector<CellIndex> cells() const;

  bool operator==(const CellGrid&) const = default;
};

}  // namespace ptrain::job
