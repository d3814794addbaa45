#include "libcommon/reduce/lane_tree.h"

#include <algorithm>
#include <bit>

#include <fmt/format.h>

#include "libcommon/base/error.h"

namespace ptrain::reduce {
namespace {

// The first lane of the right half.
std::uint32_t middle_of(const LaneRange& node) {
  return node.first + std::bit_floor(node.count() - 1);
}

void append_nodes(const LaneRange& node, std::vector<LaneRange>& nodes) {
  if (node.count() > 1) {
    append_nodes(left_half(node), nodes);
    append_nodes(right_half(node), nodes);
  }
  nodes.push_back(node);
}

// `held` is sorted.
void append_subtrees(const LaneRange& node, std::span<const LaneIndex> held,
                     std::vector<LaneRange>& subtrees) {
  const auto begin = std::lower_bound(held.begin(), held.end(), LaneIndex(node.first));
  const auto end = std::lower_bound(begin, held.end(), LaneIndex(node.end));
  if (begin == end) return;
  if (end - begin == node.count()) {
    subtrees.push_back(node);
    return;
  }
  append_subtrees(left_half(node), {begin, end}, subtrees);
  append_subtrees(right_half(node), {begin, end}, subtrees);
}

}  // namespace

std::string to_string(const LaneRange& lanes) {
  return lanes.count() == 1 ? fmt::format("lane {}", lanes.first)
                            : fmt::format("lanes {} to {}", lanes.first, lanes.end - 1);
}

LaneRange all_lanes(std::uint32_t lanes) {
  if (lanes >= 1 && lanes <= kMaxLanes) return {0, lanes};
  throw Error(ErrorKind::usage, fmt::format("{} lanes; 1 to {} are possible", lanes, kMaxLanes));
}

LaneRange left_half(const LaneRange& node) { return {node.first, middle_of(node)}; }

LaneRange right_half(const LaneRange& node) { return {middle_of(node), node.end}; }

std::optional<LaneRange> parent_of(const LaneRange& root, const LaneRange& node) {
  if (node == root || node.first >= node.end || !root.contains(node)) return std::nullopt;
  LaneRange above = root;
  for (;;) {
    const LaneRange left = left_half(above);
    const LaneRange half = left.contains(node) ? left : right_half(above);
    if (half == node) return above;
    if (!half.contains(node)) return std::nullopt;
    above = half;
  }
}

std::optional<LaneRange> sibling_of(const LaneRange& root, const LaneRange& node) {
  const std::optional<LaneRange> parent = parent_of(root, node);
  if (!parent) return std::nullopt;
  const LaneRange left = left_half(*parent);
  return left == node ? right_half(*parent) : left;
}

std::vector<LaneRange> nodes_of(const LaneRange& root) {
  std::vector<LaneRange> nodes;
  nodes.reserve(2 * root.count() - 1);
  append_nodes(root, nodes);
  return nodes;
}

std::vector<LaneRange> maximal_subtrees(const LaneRange& root, std::span<const LaneIndex> held) {
  std::vector<LaneIndex> sorted(held.begin(), held.end());
  std::sort(sorted.begin(), sorted.end());
  std::vector<LaneRange> subtrees;
  append_subtrees(root, sorted, subtrees);
  return subtrees;
}

}  // namespace ptrain::reduce
