// Who holds which cell of a job now, and who drives it. A value, and pure functions over it: where
// a cell is held changes no bit of what it computes, so a view may be replaced by another in the
// middle of a run (libcommon/elastic/view_change.h).
//
// A peer may hold several cells, of one stage or of several; every cell has one holder. The driver
// is a peer too, and need not hold a cell. Those who wait as spares stand in no view.

#pragma once

#include <compare>
#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "libcommon/base/sha256.h"
#include "libcommon/base/units.h"
#include "libcommon/job/cell_index.h"
#include "libcommon/job/peer_name.h"

namespace ptrain::job {

// Views of a run are numbered; of two, the one with the larger epoch counts. Numbers may be
// missing: a view that was proposed and never committed has used its own up.
using Epoch = StrongInteger<struct EpochTag, std::uint64_t>;

inline constexpr std::uint64_t kMaxCells = 16384;

struct View {
  Epoch epoch;
  Step first_step;  // the first whose messages the holders exchange under this view
  std::map<CellIndex, PeerName> holders;
  PeerName driver;

  auto operator<=>(const View&) const = default;
};

// What is wrong with it as a view of a job with these cells, in words; nullopt: nothing.
std::optional<std::string> flaw_of(const View& view, const CellGrid& grid);

// Why `next` cannot replace `now`, in words; nullopt: it can. Precondition: neither has a flaw.
std::optional<std::string> why_not_after(const View& now, const View& next);

// Precondition: the cell is one of the job's.
const PeerName& holder_of(const View& view, const CellIndex& cell);
// In ascending order; empty for who holds none.
std::vector<CellIndex> cells_of(const View& view, const PeerName& peer);
// Who holds a cell.
std::set<PeerName> holders_of(const View& view);
// Who holds a cell, and the driver.
std::set<PeerName> peers_of(const View& view);

// A cell that changes hands.
struct Move {
  CellIndex cell;
  PeerName from;
  PeerName to;

  auto operator<=>(const Move&) const = default;
};
// In ascending order of cells. Precondition: both are of the same job.
std::vector<Move> moves_between(const View& from, const View& to);

// One object, its bytes determined by the view:
// {"cells":[["a","b"],["a","c"]],"driver":"a","epoch":3,"first_step":120,"format":"ptrain-view",
// "version":1}, where cells[stage][lane] is the holder. Precondition: it has no flaw.
std::string canonical_json(const View& view);
// Accepts what canonical_json() writes and nothing else; Error(corrupt) says what differs. `where`
// names the source.
View parse_view(std::string_view text, const std::string& where);
inline constexpr std::size_t kMaxViewBytes = 2 << 20;

// SHA-256 of canonical_json(): two peers with the same digest mean the same view.
Sha256Digest digest_of(const View& view);

// The cells that a view without a flaw names.
CellGrid grid_of(const View& view);

}  // namespace ptrain::job
