#include "libcommon/job/view.h"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "libcommon/base/error.h"
#include "libcommon/base/in_quotes.h"
#include "libcommon/base/strict_json.h"

namespace ptrain::job {
namespace {

using nlohmann::json;

constexpr std::string_view kViewFormat = "ptrain-view";
constexpr std::uint64_t kViewVersion = 1;

PeerName peer_from_json(const json& value, const std::string& where) {
  const auto name = value.is_string() ? PeerName::parse(value.get_ref<const std::string&>())
                                      : std::optional<PeerName>();
  if (!name) {
    throw Error(
        ErrorKind::corrupt,
        fmt::format("{}: {}, expected a peer's name of 1 to {} letters, digits, dots, "
                    "dashes or underscores",
                    where, in_quotes(value.dump(-1, ' ', true, json::error_handler_t::replace)),
                    PeerName::kMaxBytes));
  }
  return *name;
}

// cells[stage][lane]: as many lanes in every stage.
std::map<CellIndex, PeerName> holders_from_json(const json& stages, const std::string& where) {
  std::map<CellIndex, PeerName> holders;
  const auto refuse = [&](std::size_t stage, const std::string& what) {
    throw Error(ErrorKind::corrupt, fmt::format("{}.cells[{}]: {}", where, stage, what));
  };
  if (stages.empty()) throw Error(ErrorKind::corrupt, where + ": a view without cells");
  for (std::uint32_t stage = 0; stage < stages.size(); ++stage) {
    const json& lanes = stages[stage];
    if (!lanes.is_array() || lanes.empty()) refuse(stage, "expected the holders of its lanes");
    if (lanes.size() != stages[0].size()) {
      refuse(stage, fmt::format("{} lanes, stage 0 has {}", lanes.size(), stages[0].size()));
    }
    if (stages.size() * lanes.size() > kMaxCells) {
      refuse(stage, fmt::format("{} stages of {} lanes, a view has at most {} cells", stages.size(),
                                lanes.size(), kMaxCells));
    }
    for (std::uint32_t lane = 0; lane < lanes.size(); ++lane) {
      holders[{StageIndex(stage), LaneIndex(lane)}] =
          peer_from_json(lanes[lane], fmt::format("{}.cells[{}][{}]", where, stage, lane));
    }
  }
  return holders;
}

}  // namespace

std::optional<std::string> flaw_of(const View& view, const CellGrid& grid) {
  if (grid.count() == 0 || grid.count() > kMaxCells) {
    return fmt::format("{} stages of {} lanes, a view has 1 to {} cells", grid.stages, grid.lanes,
                       kMaxCells);
  }
  for (const CellIndex& cell : grid.cells()) {
    const auto holder = view.holders.find(cell);
    if (holder == view.holders.end() || holder->second.empty()) {
      return fmt::format("nobody holds {}", to_string(cell));
    }
  }
  for (const auto& [cell, holder] : view.holders) {
    if (!grid.contains(cell)) {
      return fmt::format("{} of a job of {} stages and {} lanes", to_string(cell), grid.stages,
                         grid.lanes);
    }
  }
  if (view.driver.empty()) return "nobody drives it";
  return std::nullopt;
}

std::optional<std::string> why_not_after(const View& now, const View& next) {
  if (next.epoch <= now.epoch) {
    return fmt::format("epoch {} does not follow epoch {}", next.epoch.value(), now.epoch.value());
  }
  if (next.first_step < now.first_step) {
    return fmt::format("it begins at step {}, epoch {} at step {}", next.first_step.value(),
                       now.epoch.value(), now.first_step.value());
  }
  if (grid_of(next) != grid_of(now)) {
    return fmt::format("{} stages of {} lanes, the job has {} of {}", grid_of(next).stages,
                       grid_of(next).lanes, grid_of(now).stages, grid_of(now).lanes);
  }
  return std::nullopt;
}

const PeerName& holder_of(const View& view, const CellIndex& cell) {
  const auto found = view.holders.find(cell);
  if (found == view.holders.end()) {
    throw Error(ErrorKind::internal, fmt::format("{} is not in the view of epoch {}",
                                                 to_string(cell), view.epoch.value()));
  }
  return found->second;
}

std::vector<CellIndex> cells_of(const View& view, const PeerName& peer) {
  std::vector<CellIndex> cells;
  for (const auto& [cell, holder] : view.holders) {
    if (holder == peer) cells.push_back(cell);
  }
  return cells;
}

std::set<PeerName> holders_of(const View& view) {
  std::set<PeerName> peers;
  for (const auto& [cell, holder] : view.holders) peers.insert(holder);
  return peers;
}

std::set<PeerName> peers_of(const View& view) {
  std::set<PeerName> peers = holders_of(view);
  peers.insert(view.driver);
  return peers;
}

std::vector<Move> moves_between(const View& from, const View& to) {
  std::vector<Move> moves;
  for (const auto& [cell, holder] : to.holders) {
    const PeerName& before = holder_of(from, cell);
    if (before != holder) moves.push_back({cell, before, holder});
  }
  return moves;
}

CellGrid grid_of(const View& view) {
  const CellIndex last = view.holders.empty() ? CellIndex{} : view.holders.rbegin()->first;
  return {last.stage.value() + 1, last.lane.value() + 1};
}

std::string canonical_json(const View& view) {
  json stages = json::array();
  for (const auto& [cell, holder] : view.holders) {
    if (cell.stage.value() == stages.size()) stages.push_back(json::array());
    stages.back().push_back(holder.text());
  }
  return json{{"cells", std::move(stages)},  {"driver", view.driver.text()},
              {"epoch", view.epoch.value()}, {"first_step", view.first_step.value()},
              {"format", kViewFormat},       {"version", kViewVersion}}
      .dump();
}

View parse_view(std::string_view text, const std::string& where) {
  if (text.size() > kMaxViewBytes) {
    throw Error(ErrorKind::corrupt, fmt::format("{}: {} bytes, a view has at most {}", where,
                                                text.size(), kMaxViewBytes));
  }
  const json value = parse_strict_json(text, where);
  JsonObject object(value, where);
  if (object.text("format") != kViewFormat) {
    object.fail("format", fmt::format("\"{}\"", kViewFormat));
  }
  if (object.integer("version") != kViewVersion) {
    object.fail("version", fmt::format("{}", kViewVersion));
  }
  View view;
  view.epoch = Epoch(object.integer("epoch", UINT64_MAX));
  view.first_step = Step(object.integer("first_step", UINT64_MAX));
  view.holders = holders_from_json(object.array("cells"), where);
  object.text("driver");
  view.driver = peer_from_json(value["driver"], where + ".driver");
  object.finish();
  if (canonical_json(view) != text) {
    throw Error(ErrorKind::corrupt,
                where + ": not in canonical form: blanks, or keys out of order");
  }
  return view;
}

Sha256Digest digest_of(const View& view) { return sha256(canonical_json(view)); }

}  // namespace ptrain::job
