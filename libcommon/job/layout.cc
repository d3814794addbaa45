#include "libcommon/job/layout.h"

#include <algorithm>
#include <charconv>
#include <optional>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "libcommon/base/error.h"

namespace ptrain::job {
namespace {

std::string short_name(const CellIndex& cell) {
  return fmt::format("{},{}", cell.stage.value(), cell.lane.value());
}

}  // namespace

Layout Layout::of_stages(std::uint32_t stages) {
  std::vector<std::vector<CellIndex>> workers;
  for (std::uint32_t stage = 0; stage < stages; ++stage) {
    workers.push_back({{StageIndex(stage), LaneIndex(0)}});
  }
  return {{.stages = stages, .lanes = 1}, workers};
}

Layout::Layout(CellGrid grid, const std::vector<std::vector<CellIndex>>& workers)
    : grid_(grid), cells_(workers) {
  std::vector<std::optional<WorkerIndex>> holders(grid.count());
  for (std::uint32_t i = 0; i < cells_.size(); ++i) {
    std::vector<CellIndex>& cells = cells_[i];
    std::ranges::sort(cells);
    if (cells.empty()) throw Error(ErrorKind::usage, fmt::format("process {} holds no cell", i));
    if (cells.front().stage != cells.back().stage) {
      throw Error(ErrorKind::usage,
                  fmt::format("one process holds {} and {}", to_string(cells.front()),
                              to_string(cells.back())),
                  "a process holds one stage, in as many lanes as you like: start one more");
    }
    for (const CellIndex& cell : cells) {
      if (!grid.contains(cell)) {
        throw Error(ErrorKind::usage,
                    fmt::format("{}: the job has {} stages and {} lanes, numbered from 0",
                                to_string(cell), grid.stages, grid.lanes));
      }
      auto& holder = holders[std::uint64_t{cell.stage.value()} * grid.lanes + cell.lane.value()];
      if (holder) throw Error(ErrorKind::usage, to_string(cell) + " is given twice");
      holder = WorkerIndex(i);
    }
  }
  for (const CellIndex& cell : grid.cells()) {
    const auto& holder =
        holders[std::uint64_t{cell.stage.value()} * grid.lanes + cell.lane.value()];
    if (!holder) {
      throw Error(ErrorKind::usage, fmt::format("nobody holds {}", to_string(cell)),
                  fmt::format("the job has {} stages and lanes.count = {}: name each cell once",
                              grid.stages, grid.lanes));
    }
    holders_.push_back(*holder);
  }
}

const std::vector<CellIndex>& Layout::cells_of(WorkerIndex worker) const {
  return cells_.at(worker.value());
}

WorkerIndex Layout::holder_of(const CellIndex& cell) const {
  return holders_.at(std::uint64_t{cell.stage.value()} * grid_.lanes + cell.lane.value());
}

std::vector<WorkerIndex> Layout::holders_of(StageIndex stage) const {
  std::vector<WorkerIndex> holders;
  for (std::uint32_t lane = 0; lane < grid_.lanes; ++lane) {
    const WorkerIndex holder = holder_of({stage, LaneIndex(lane)});
    if (std::ranges::find(holders, holder) == holders.end()) holders.push_back(holder);
  }
  return holders;
}

std::string Layout::called(WorkerIndex worker) const {
  const std::vector<CellIndex>& cells = cells_of(worker);
  std::string name = fmt::format("stage {}", cells.front().stage.value());
  if (cells.size() == grid_.lanes) return name;
  std::vector<std::uint32_t> lanes;
  for (const CellIndex& cell : cells) lanes.push_back(cell.lane.value());
  return name + fmt::format(", lane{} {}", lanes.size() == 1 ? "" : "s", fmt::join(lanes, " and "));
}

std::string Layout::text() const {
  std::string text;
  for (const auto& cells : cells_) {
    std::vector<std::string> names;
    for (const CellIndex& cell : cells) names.push_back(short_name(cell));
    text += fmt::format("{}{}", text.empty() ? "" : "; ", fmt::join(names, " "));
  }
  return text;
}

CellIndex parse_cell(const std::string& text) {
  const std::size_t comma = text.find(',');
  const auto number = [&](std::size_t begin, std::size_t end) -> std::optional<std::uint32_t> {
    std::uint32_t value = 0;
    const char* const last = text.data() + end;
    const auto [rest, failure] = std::from_chars(text.data() + begin, last, value);
    if (failure != std::errc() || rest != last) return std::nullopt;
    return value;
  };
  if (comma != std::string::npos) {
    const auto stage = number(0, comma);
    const auto lane = number(comma + 1, text.size());
    if (stage && lane) return {StageIndex(*stage), LaneIndex(*lane)};
  }
  throw Error(ErrorKind::usage, fmt::format("{}: not a cell", text),
              "a cell is STAGE,LANE, both from 0: for example 1,0");
}

}  // namespace ptrain::job
