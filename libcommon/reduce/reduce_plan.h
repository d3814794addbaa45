// What all members of a sum over lanes know alike before it begins. A value; pure.
//
// Of its parts only the number of lanes, the vector's length and the edges' rule decide about bits.
// Who holds which lane, who owns which chunk, and how large a message is, do not.

#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "libcommon/base/units.h"
#include "libcommon/reduce/chunking.h"
#include "libcommon/reduce/edge_codec.h"
#include "libcommon/reduce/lane_tree.h"

namespace ptrain::reduce {

using MemberIndex = StrongInteger<struct MemberTag, std::uint32_t>;  // in ReducePlan::members

inline constexpr std::uint64_t kPieceElements = 64 * kBlockElements;  // 1 MiB of float32
inline constexpr std::uint64_t kMaxPieceElements = 64 * kPieceElements;
// 32 MiB of float32 are enough for a line of 1 Gbit/s and a round trip of a quarter of a second.
inline constexpr std::uint32_t kWindowPieces = 32;
inline constexpr std::uint32_t kMaxWindowPieces = 4096;

// What happens on every edge of the tree, in a process or between two.
struct EdgeRule {
  EdgeCodecKind codec = EdgeCodecKind::fp32;
  // How much of what an edge lost is added to what it carries next: 0 nothing, 1 all of it.
  float feedback = 0;

  bool operator==(const EdgeRule&) const = default;
};

struct ReducePlan {
  std::vector<std::string> members;         // what people call them
  std::vector<MemberIndex> holder_of_lane;  // every member holds at least one
  std::vector<ElementRange> chunks;         // by owner: cut()'s
  EdgeRule edges{};
  std::uint64_t piece_elements = kPieceElements;  // of a message, a multiple of kBlockElements
  // Pieces of a chunk that may be on their way to its owner, or wait there for others: what bounds
  // the memory of both.
  std::uint32_t window_pieces = kWindowPieces;

  LaneRange root() const { return {0, static_cast<std::uint32_t>(holder_of_lane.size())}; }
  std::uint64_t elements() const { return chunks.empty() ? 0 : chunks.back().end(); }
  std::vector<LaneIndex> lanes_of(MemberIndex member) const;
  std::vector<LaneRange> subtrees_of(MemberIndex member) const;
  std::uint32_t pieces_of(MemberIndex owner) const;
  ElementRange piece(MemberIndex owner, std::uint32_t number) const;
};

// What is wrong with it; nullopt if nothing.
std::optional<std::string> flaw_of(const ReducePlan& plan);

}  // namespace ptrain::reduce
