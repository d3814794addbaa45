// Which part of a job this process holds, and who holds the others. A value.
//
// A worker holds one stage, in one lane or several. Whoever holds lane 0 of a stage leads it: saves
// its checkpoints, evaluates, and speaks for it where its holders all know the same.

#pragma once

#include <set>
#include <utility>
#include <vector>

#include "libcommon/base/units.h"
#include "libcommon/job/layout.h"
#include "libcommon/wire/message.h"

namespace ptrain::stage {

class Place {
 public:
  // Of a job of one lane, in which each worker holds the stage of its number.
  Place(StageIndex stage, std::uint32_t stages)
      : Place(WorkerIndex(stage.value()), job::Layout::of_stages(stages)) {}
  Place(WorkerIndex self, job::Layout layout) : self_(self), layout_(std::move(layout)) {}

  WorkerIndex self() const { return self_; }
  const job::Layout& layout() const { return layout_; }
  std::uint32_t workers() const { return layout_.workers(); }

  StageIndex stage() const { return cells().front().stage; }
  std::uint32_t stages() const { return layout_.grid().stages; }
  bool is_first() const { return stage() == first(); }
  bool is_last() const { return stage() == last(); }
  // Of the two, `previous` is none of the first stage's and `next` none of the last one's.
  StageIndex previous() const { return StageIndex(stage().value() - 1); }
  StageIndex next() const { return stage().next(); }
  StageIndex first() const { return StageIndex(0); }
  StageIndex last() const { return StageIndex(stages() - 1); }

  // Those that we hold, in ascending order.
  const std::vector<job::CellIndex>& cells() const { return layout_.cells_of(self_); }
  LaneIndex lowest_lane() const { return cells().front().lane; }
  std::uint32_t lanes() const { return layout_.grid().lanes; }
  bool leads() const { return lowest_lane() == LaneIndex(0); }

  WorkerIndex holder(StageIndex stage, LaneIndex lane) const {
    return layout_.holder_of({stage, lane});
  }
  WorkerIndex leader(StageIndex stage) const { return holder(stage, LaneIndex(0)); }
  // Who holds our stage, we among them.
  std::vector<WorkerIndex> holders() const { return layout_.holders_of(stage()); }

  // Who decides on steps and checkpoints.
  WorkerIndex driver() const { return leader(first()); }
  bool is_driver() const { return self_ == driver(); }

  // The cell that a message says it comes from.
  bool has_source(const wire::MessageName& name) const {
    return layout_.grid().contains({name.source, name.lane});
  }
  // Who holds it. Precondition: has_source().
  WorkerIndex sender(const wire::MessageName& name) const { return holder(name.source, name.lane); }

 private:
  WorkerIndex self_;
  job::Layout layout_;
};

// The other workers that one talks to: its neighbours in each of its lanes, who else holds its
// stage, the driver, which talks to all, and the holder of the other end, where it is one.
std::set<WorkerIndex> correspondents(const Place& place);

}  // namespace ptrain::stage
