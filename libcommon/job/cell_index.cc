#include "libcommon/job/cell_index.h"

#include <fmt/format.h>

namespace ptrain::job {

std::string to_string(const CellIndex& cell) {
  return fmt::format("cell {},{}", cell.stage.value(), cell.lane.value());
}

std::vector<CellIndex> CellGrid::cells() const {
  std::vector<CellIndex> all;
  all.reserve(count());
  for (std::uint32_t stage = 0; stage < stages; ++stage) {
    for (std::uint32_t lane = 0; lane < lanes; ++lane) {
      all.push_back({StageIndex(stage), LaneIndex(lane)});
    }
  }
  return all;
}

}  // namespace ptrain::job
