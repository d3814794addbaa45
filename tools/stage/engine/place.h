// Which stage of how many this process holds, and who its neighbours are. A value.

#pragma once

#include <algorithm>
#include <cstdint>
#include <set>

#include "libcommon/base/units.h"

namespace ptrain::stage {

struct Place {
  StageIndex self;
  std::uint32_t stages = 1;

  bool is_first() const { return self == StageIndex(0); }
  bool is_last() const { return self.value() + 1 == stages; }
  // Of the two, `previous` is none of the first stage's and `next` none of the last one's.
  StageIndex previous() const { return StageIndex(self.value() - 1); }
  StageIndex next() const { return StageIndex(self.value() + 1); }
  StageIndex first() const { return StageIndex(0); }
  StageIndex last() const { return StageIndex(stages - 1); }
  // Who decides on steps and checkpoints.
  StageIndex driver() const { return StageIndex(0); }
  bool is_driver() const { return self == driver(); }
};

// The other stages that a stage talks to: its neighbours, and the driver, which talks to all. (The
// two holders of a tied embedding are the driver and the last stage.)
inline std::set<StageIndex> correspondents(const Place& place) {
  std::set<StageIndex> others;
  for (std::uint32_t i = 0; i < place.stages; ++i) {
    const std::uint32_t low = std::min(i, place.self.value());
    const std::uint32_t high = std::max(i, place.self.value());
    if (high != low && (high - low == 1 || low == 0)) others.insert(StageIndex(i));
  }
  return others;
}

}  // namespace ptrain::stage
