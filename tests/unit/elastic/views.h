// Views for tests, in a few letters.

#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "libcommon/job/view.h"

namespace ptrain::elastic {

inline job::CellIndex cell_at(std::uint32_t stage, std::uint32_t lane = 0) {
  return {StageIndex(stage), LaneIndex(lane)};
}

// {"ab", "cc"}: lane 0 of stage 0 is held by a, lane 1 by b, and both of stage 1 by c; a drives.
inline job::View view_of(const std::vector<std::string>& stages, std::uint64_t epoch = 0,
                         std::uint64_t first_step = 0, const std::string& driver = "") {
  job::View view;
  view.epoch = job::Epoch(epoch);
  view.first_step = Step(first_step);
  view.driver = job::PeerName(driver.empty() ? stages[0].substr(0, 1) : driver);
  for (std::uint32_t stage = 0; stage < stages.size(); ++stage) {
    for (std::uint32_t lane = 0; lane < stages[stage].size(); ++lane) {
      view.holders[cell_at(stage, lane)] = job::PeerName(stages[stage].substr(lane, 1));
    }
  }
  return view;
}

}  // namespace ptrain::elastic
