// Who takes which cell when peers are lost, leave or join, and who drives then: the views that a
// driver wants next. Pure: whoever is given the same answers the same.

#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "libcommon/job/view.h"

namespace ptrain::elastic {

using job::CellIndex;
using job::PeerName;
using job::View;

// Who takes a cell of a lost peer, the best first. Each ends with the same bits; they differ in
// what has to happen before.
enum class TakenBy {
  spare,     // waits with nothing else to do: no cell is slowed down
  sibling,   // holds another lane of the stage: has the state, and replays this step only
  newcomer,  // loads or fetches the cell's checkpoint, and replays from it
};

// A peer that holds no cell so far.
struct Candidate {
  PeerName peer;
  std::uint32_t room = 1;         // cells that it can hold
  std::set<CellIndex> at_hand{};  // whose newest checkpoint it has on its own disk
};

struct Crew {
  std::vector<Candidate> spares;     // admitted, and waiting
  std::vector<Candidate> newcomers;  // who offer themselves, and were not admitted so far
  // Cells that the holders of the view can hold more than they do. Who is not named has no room.
  std::map<PeerName, std::uint32_t> room{};
};

struct Taking {
  CellIndex cell;
  PeerName peer;
  TakenBy how = TakenBy::spare;
  std::string why;  // "s2, a spare with its checkpoint at hand"

  bool operator==(const Taking&) const = default;
};

struct Placement {
  std::vector<Taking> takings;      // in ascending order of cells
  std::vector<CellIndex> nobody_s;  // for which nobody has room

  bool operator==(const Placement&) const = default;
};

// For every cell of the lost peers: a spare, one with the cell's checkpoint at hand before others;
// else the sibling that holds the fewest cells; else a newcomer as a spare. Of equals the one whose
// name comes first. Nobody takes more than it has room for, nor is a lost peer given anything.
Placement take_over(const View& view, const std::set<PeerName>& lost, const Crew& crew);

// The view with these takings, driven by `driver`, from `first_step` on, or from where the view
// began that it follows.
View with_takings(const View& view, const Placement& placement, Step first_step,
                  const PeerName& driver);

// `peer` leaves, and its cells go to its named successor, who is present and has room for all of
// them. Where it drives, its successor does then. Throws Error(usage) where `peer` names itself.
View after_leaving(const View& view, const PeerName& peer, const PeerName& successor,
                   Step first_step);

// `peer` is given these cells of others. Throws Error(usage) for a cell that is not the job's, or
// that it has, or where there is none.
View after_joining(const View& view, const PeerName& peer, const std::vector<CellIndex>& cells,
                   Step first_step);

// Who should drive when the driver is lost, the first first: the holders by their first cell, then
// the spares in their order. The n-th waits n patiences before it tries to get the lease, so that
// the first one has it, if it lives, before the second tries.
std::vector<PeerName> line_of_succession(const View& view, const std::set<PeerName>& lost,
                                         const std::vector<Candidate>& spares);

}  // namespace ptrain::elastic
