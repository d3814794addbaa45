// The shape in which numbers of lanes are added: a binary tree over lane numbers, the same whoever
// holds the lanes. Pure.
//
// A node is a range of lanes; one of more than one lane is the sum of its left and its right half,
// where it is split at the largest power of two below its length. So a range of 2^k lanes that
// begins at a multiple of 2^k is a node of every tree that is wide enough, and lanes that are added
// at the end change only the nodes above them. Every node has one edge upwards, the root's leads to
// all who need the sum, and what happens on an edge (codec.h) is named by the node under it.
//
//          [0,6)                 a peer that holds lanes 0 to 3 sends one subtotal, [0,4);
//         /     \                one that holds 1 and 2 sends two, [1,2) and [2,3)
//      [0,4)    [4,6)
//      /   \     /  \            sum = ((0 + 1) + (2 + 3)) + (4 + 5), always

#pragma once

#include <compare>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "libcommon/base/units.h"

namespace ptrain::reduce {

using ptrain::LaneIndex;

inline constexpr std::uint32_t kMaxLanes = 4096;

// Lanes [first, end).
struct LaneRange {
  std::uint32_t first = 0;
  std::uint32_t end = 0;

  std::uint32_t count() const { return end - first; }
  LaneIndex lowest() const { return LaneIndex(first); }
  bool contains(const LaneRange& other) const { return first <= other.first && other.end <= end; }
  auto operator<=>(const LaneRange&) const = default;
};

// "lane 3", "lanes 4 to 7"
std::string to_string(const LaneRange& lanes);

// The root of the tree. Throws Error(usage) unless there are 1 to kMaxLanes lanes.
LaneRange all_lanes(std::uint32_t lanes);

// Precondition: more than one lane.
LaneRange left_half(const LaneRange& node);
LaneRange right_half(const LaneRange& node);

// What is above `node` in the tree of `root`; nullopt above the root, and where `node` is no node.
std::optional<LaneRange> parent_of(const LaneRange& root, const LaneRange& node);
// The other half of its parent.
std::optional<LaneRange> sibling_of(const LaneRange& root, const LaneRange& node);

// All nodes, children before their parents, left before right.
std::vector<LaneRange> nodes_of(const LaneRange& root);

// The fewest nodes that hold these lanes and no other, in ascending order: what a peer that holds
// the lanes sends. `held` in any order, without duplicates.
std::vector<LaneRange> maximal_subtrees(const LaneRange& root, std::span<const LaneIndex> held);

}  // namespace ptrain::reduce
