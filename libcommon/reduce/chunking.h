// How a flat vector is cut into chunks, one a member: who owns a chunk adds it up, for all. Pure.
//
// Every edge of a chunk lies on a multiple of kBlockElements, of which every codec's block is a
// part, so neither the members nor their bandwidth change a bit of the sum; they change only who
// computes it. Shares are numbers of one computation, which whoever makes the view hands to all.

#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "libcommon/base/units.h"

namespace ptrain::reduce {

inline constexpr std::uint64_t kBlockElements = 4096;  // one 64 x 64 chunk of top-k
inline constexpr std::uint64_t kMaxElements = 1ull << 40;
inline constexpr std::size_t kMaxMembers = 1024;

// Elements [first, first + count).
struct ElementRange {
  std::uint64_t first = 0;
  std::uint64_t count = 0;

  std::uint64_t end() const { return first + count; }
  bool operator==(const ElementRange&) const = default;
};

// What joins one member to the others.
struct MemberLine {
  double up_bytes_per_s = 0;
  double down_bytes_per_s = 0;
  std::uint32_t subtotals = 1;  // that it sends: its lanes' maximal subtrees
};

struct BestSplit {
  std::vector<double> shares;  // of the vector, one a member; their sum is 1
  double s_per_byte = 0;       // of the encoded vector, for both halves: the bound
};

// The shares with which a reduce-scatter and an all-gather, of which each piece goes on as soon as
// it is summed, take the least time on these lines.
//
// A member that owns the share f of a vector of S bytes and sends c subtotals, C of all members
// together, moves
//
//   up    c (1 - f) S + (n - 1) f S     its subtotals of the others' chunks; its chunk, to each
//   down  (C - c) f S + (1 - f) S       the others' subtotals of its chunk; the others' chunks
//
// and no line may take longer than T, so each T allows f between two limits. The least T for which
// limits with a sum of lower ones <= 1 <= sum of upper ones exist is found by bisection; what the
// limits leave free is dealt in proportion. With one subtotal each, and r the slower direction's
// rate of a member, this is
//
//   T = max(2 (n - 1) S / sum of r,  S / smallest r),   f = (T r / S - 1) / (n - 2)
//
// for n > 2: 2 (n - 1) / n x S / r for n equal lines. Of two members T is S / smallest r whatever
// f is. A member so slow that S / r is the larger term owns nothing, and the vector must still
// pass its line once in each direction.
//
// Throws Error(usage) unless there are 1 to kMaxMembers lines, all with positive finite rates and
// 1 to kMaxLanes subtotals.
BestSplit best_split(std::span<const MemberLine> lines);

// A vector of `elements`, cut into one chunk a member, in the members' order, as near to its share
// as whole blocks allow: no edge is further from its place than half a block. Chunks may be empty.
// Throws Error(usage) for more than kMaxElements, no or too many shares, or shares that are not
// finite, negative, or all 0.
std::vector<ElementRange> cut(std::uint64_t elements, std::span<const double> shares);

}  // namespace ptrain::reduce
