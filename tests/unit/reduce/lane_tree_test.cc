#include "libcommon/reduce/lane_tree.h"

#include <algorithm>
#include <random>
#include <set>

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "libcommon/base/error.h"

namespace ptrain::reduce {
namespace {

std::vector<LaneRange> subtrees(std::uint32_t lanes, const std::vector<std::uint32_t>& held) {
  std::vector<LaneIndex> indices;
  for (const std::uint32_t lane : held) indices.emplace_back(lane);
  return maximal_subtrees(all_lanes(lanes), indices);
}

// "((0 1) 2)"
std::string drawn(const LaneRange& node) {
  if (node.count() == 1) return std::to_string(node.first);
  return fmt::format("({} {})", drawn(left_half(node)), drawn(right_half(node)));
}

TEST(LaneTree, SplitsARangeAtTheLargestPowerOfTwoBelowItsLength) {
  EXPECT_EQ(drawn(all_lanes(1)), "0");
  EXPECT_EQ(drawn(all_lanes(2)), "(0 1)");
  EXPECT_EQ(drawn(all_lanes(3)), "((0 1) 2)");
  EXPECT_EQ(drawn(all_lanes(4)), "((0 1) (2 3))");
  EXPECT_EQ(drawn(all_lanes(6)), "(((0 1) (2 3)) (4 5))");
  EXPECT_EQ(drawn(all_lanes(9)), "((((0 1) (2 3)) ((4 5) (6 7))) 8)");
}

TEST(LaneTree, HasOneLaneToTheLimit) {
  EXPECT_EQ(all_lanes(kMaxLanes).count(), kMaxLanes);
  EXPECT_THROW(all_lanes(0), Error);
  EXPECT_THROW(all_lanes(kMaxLanes + 1), Error);
}

TEST(LaneTree, ListsEveryNodeOnceAndChildrenFirst) {
  for (std::uint32_t lanes = 1; lanes <= 33; ++lanes) {
    const LaneRange root = all_lanes(lanes);
    const std::vector<LaneRange> nodes = nodes_of(root);
    EXPECT_EQ(nodes.size(), 2 * lanes - 1);
    EXPECT_EQ(nodes.back(), root);
    std::set<LaneRange> seen;
    for (const LaneRange& node : nodes) {
      if (node.count() > 1) {
        EXPECT_TRUE(seen.contains(left_half(node)) && seen.contains(right_half(node)));
      }
      EXPECT_TRUE(seen.insert(node).second);
    }
  }
}

TEST(LaneTree, KnowsTheParentAndTheSiblingOfEveryNodeAndOfNothingElse) {
  for (std::uint32_t lanes = 1; lanes <= 17; ++lanes) {
    const LaneRange root = all_lanes(lanes);
    std::set<LaneRange> nodes;
    for (const LaneRange& node : nodes_of(root)) {
      nodes.insert(node);
      if (node.count() == 1) continue;
      EXPECT_EQ(parent_of(root, left_half(node)), node);
      EXPECT_EQ(parent_of(root, right_half(node)), node);
      EXPECT_EQ(sibling_of(root, left_half(node)), right_half(node));
      EXPECT_EQ(sibling_of(root, right_half(node)), left_half(node));
    }
    for (std::uint32_t first = 0; first <= lanes + 1; ++first) {
      for (std::uint32_t end = 0; end <= lanes + 1; ++end) {
        const LaneRange range{first, end};
        EXPECT_EQ(parent_of(root, range).has_value(), nodes.contains(range) && range != root)
            << first << " to " << end << " of " << lanes;
      }
    }
  }
}

TEST(LaneTree, APeerSendsOneSubtotalForWholeSubtrees) {
  EXPECT_EQ(subtrees(8, {4, 5, 6, 7}), (std::vector<LaneRange>{{4, 8}}));
  EXPECT_EQ(subtrees(8, {1, 2}), (std::vector<LaneRange>{{1, 2}, {2, 3}}));
  EXPECT_EQ(subtrees(8, {7, 6, 5, 1, 0}), (std::vector<LaneRange>{{0, 2}, {5, 6}, {6, 8}}));
  EXPECT_EQ(subtrees(6, {4, 5}), (std::vector<LaneRange>{{4, 6}}));
  EXPECT_EQ(subtrees(3, {0, 1, 2}), (std::vector<LaneRange>{{0, 3}}));
  EXPECT_TRUE(subtrees(3, {}).empty());
}

TEST(LaneTree, MaximalSubtreesHoldExactlyThePeersLanesAndNoTwoAreSiblings) {
  std::mt19937 random(1);
  for (int i = 0; i < 200; ++i) {
    const std::uint32_t lanes = 1 + random() % 40;
    std::vector<LaneIndex> held;
    for (std::uint32_t l = 0; l < lanes; ++l) {
      if (random() % 3 != 0) held.emplace_back(l);
    }
    std::vector<LaneIndex> covered;
    const LaneRange root = all_lanes(lanes);
    const std::vector<LaneRange> subtrees = maximal_subtrees(root, held);
    for (const LaneRange& node : subtrees) {
      for (std::uint32_t l = node.first; l < node.end; ++l) covered.emplace_back(l);
      const auto sibling = sibling_of(root, node);
      EXPECT_TRUE(!sibling ||
                  std::find(subtrees.begin(), subtrees.end(), *sibling) == subtrees.end());
    }
    EXPECT_EQ(covered, held);
  }
}

TEST(LaneTree, LanesAreNamedAsPeopleSay) {
  EXPECT_EQ(to_string(LaneRange{3, 4}), "lane 3");
  EXPECT_EQ(to_string(LaneRange{4, 8}), "lanes 4 to 7");
}

}  // namespace
}  // namespace ptrain::reduce
