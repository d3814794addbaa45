// Which process of a static job holds which cells: fixed before the job begins, and the same for
// all of its processes. A value.
//
// A worker is a process, numbered from 0. It holds one stage, in one lane or several; the number
// changes no bit, nor who holds what. (Views of elastic jobs change while they run: job/view.h.)

#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "libcommon/base/units.h"
#include "libcommon/job/cell_index.h"

namespace ptrain::job {

class Layout {
 public:
  // One lane, and one worker a stage.
  static Layout of_stages(std::uint32_t stages);

  // The cells of each worker. Throws Error(usage) that names the cell which nobody holds, or two
  // do, and the worker that holds none, or cells of two stages.
  Layout(CellGrid grid, const std::vector<std::vector<CellIndex>>& workers);

  const CellGrid& grid() const { return grid_; }
  std::uint32_t workers() const { return static_cast<std::uint32_t>(cells_.size()); }
  // In ascending order.
  const std::vector<CellIndex>& cells_of(WorkerIndex worker) const;
  // Precondition: the cell is in the grid.
  WorkerIndex holder_of(const CellIndex& cell) const;
  // Who holds a stage, in the order of the lowest lanes that they hold.
  std::vector<WorkerIndex> holders_of(StageIndex stage) const;

  // For people: "stage 1", and where several hold it "stage 1, lanes 0 and 2".
  std::string called(WorkerIndex worker) const;
  // One text for one layout, for whoever compares: "0,0 0,1; 1,0 1,1".
  std::string text() const;

  bool operator==(const Layout&) const = default;

 private:
  CellGrid grid_;
  std::vector<std::vector<CellIndex>> cells_;  // by worker
  std::vector<WorkerIndex> holders_;           // by stage, then lane
};

// "1,2": stage 1, lane 2. Throws Error(usage) that shows the text.
CellIndex parse_cell(const std::string& text);

}  // namespace ptrain::job
