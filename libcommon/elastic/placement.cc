#include "libcommon/elastic/placement.h"

#include <algorithm>
#include <tuple>

#include <fmt/format.h>

#include "libcommon/base/error.h"

namespace ptrain::elastic {
namespace {

// What is left of everybody's room while cells are given away.
class Rooms {
 public:
  Rooms(const View& view, const std::set<PeerName>& lost, const Crew& crew)
      : lost_(lost), holders_(crew.room) {
    for (const auto& [cell, holder] : view.holders) {
      if (!lost.contains(holder)) cells_[holder].insert(cell);
    }
    for (const Candidate& spare : crew.spares) candidates_[spare.peer] = spare.room;
    for (const Candidate& newcomer : crew.newcomers) candidates_[newcomer.peer] = newcomer.room;
  }

  std::optional<Taking> by_candidate(const CellIndex& cell,
                                     const std::vector<Candidate>& candidates, TakenBy how) {
    const Candidate* best = nullptr;
    for (const Candidate& each : candidates) {
      if (lost_.contains(each.peer) || candidates_[each.peer] == 0) continue;
      if (best == nullptr || rank(each, cell) < rank(*best, cell)) best = &each;
    }
    if (best == nullptr) return std::nullopt;
    --candidates_[best->peer];
    const char* what = how == TakenBy::spare ? "a spare" : "a newcomer";
    const char* from = best->at_hand.contains(cell) ? "with its checkpoint at hand"
                                                    : "that fetches its checkpoint";
    return Taking{cell, best->peer, how, fmt::format("{}, {} {}", best->peer.text(), what, from)};
  }

  std::optional<Taking> by_sibling(const CellIndex& cell) {
    const PeerName* best = nullptr;
    CellIndex lane_of_best;
    for (const auto& [holder, cells] : cells_) {
      const auto room = holders_.find(holder);
      if (room == holders_.end() || room->second == 0) continue;
      const auto other = std::find_if(cells.begin(), cells.end(), [&](const CellIndex& held) {
        return held.stage == cell.stage;
      });
      if (other == cells.end()) continue;
      if (best != nullptr && cells_[*best].size() <= cells.size()) continue;
      best = &holder;
      lane_of_best = *other;
    }
    if (best == nullptr) return std::nullopt;
    const Taking taking{
        cell, *best, TakenBy::sibling,
        fmt::format("{}, a sibling that holds {}", best->text(), job::to_string(lane_of_best))};
    --holders_[*best];
    cells_[*best].insert(cell);
    return taking;
  }

 private:
  static std::tuple<bool, PeerName> rank(const Candidate& candidate, const CellIndex& cell) {
    return {!candidate.at_hand.contains(cell), candidate.peer};
  }

  const std::set<PeerName>& lost_;
  std::map<PeerName, std::uint32_t> holders_;
  std::map<PeerName, std::uint32_t> candidates_;
  std::map<PeerName, std::set<CellIndex>> cells_;  // of the holders that live
};

View next_of(const View& view, Step first_step) {
  View next = view;
  next.epoch = view.epoch.next();
  next.first_step = std::max(view.first_step, first_step);
  return next;
}

}  // namespace

Placement take_over(const View& view, const std::set<PeerName>& lost, const Crew& crew) {
  Rooms rooms(view, lost, crew);
  Placement placement;
  for (const auto& [cell, holder] : view.holders) {
    if (!lost.contains(holder)) continue;
    auto taking = rooms.by_candidate(cell, crew.spares, TakenBy::spare);
    if (!taking) taking = rooms.by_sibling(cell);
    if (!taking) taking = rooms.by_candidate(cell, crew.newcomers, TakenBy::newcomer);
    if (taking) {
      placement.takings.push_back(*std::move(taking));
    } else {
      placement.nobody_s.push_back(cell);
    }
  }
  return placement;
}

View with_takings(const View& view, const Placement& placement, Step first_step,
                  const PeerName& driver) {
  View next = next_of(view, first_step);
  for (const Taking& taking : placement.takings) next.holders.at(taking.cell) = taking.peer;
  next.driver = driver;
  return next;
}

View after_leaving(const View& view, const PeerName& peer, const PeerName& successor,
                   Step first_step) {
  if (peer == successor) {
    throw Error(ErrorKind::usage, peer.text() + " leaves, and names itself as its successor",
                "name another peer, or none");
  }
  View next = next_of(view, first_step);
  for (auto& [cell, holder] : next.holders) {
    if (holder == peer) holder = successor;
  }
  if (next.driver == peer) next.driver = successor;
  return next;
}

View after_joining(const View& view, const PeerName& peer, const std::vector<CellIndex>& cells,
                   Step first_step) {
  const auto refuse = [&](const std::string& why) {
    throw Error(ErrorKind::usage, fmt::format("{} cannot join: {}", peer.text(), why));
  };
  if (cells.empty()) refuse("it is given no cell");
  View next = next_of(view, first_step);
  for (const CellIndex& cell : cells) {
    const auto found = next.holders.find(cell);
    if (found == next.holders.end()) refuse(job::to_string(cell) + " is not one of the job's");
    if (found->second == peer) refuse("it holds " + job::to_string(cell) + " already");
    found->second = peer;
  }
  return next;
}

std::vector<PeerName> line_of_succession(const View& view, const std::set<PeerName>& lost,
                                         const std::vector<Candidate>& spares) {
  std::vector<PeerName> line;
  const auto append = [&](const PeerName& peer) {
    const bool known = std::find(line.begin(), line.end(), peer) != line.end();
    if (!known && !lost.contains(peer)) line.push_back(peer);
  };
  for (const auto& [cell, holder] : view.holders) append(holder);
  for (const Candidate& spare : spares) append(spare.peer);
  return line;
}

}  // namespace ptrain::elastic
