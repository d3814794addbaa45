#include "libcommon/reduce/reduce_plan.h"

#include <cmath>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "libcommon/base/error.h"
#include "libcommon/reduce/residuals.h"

namespace ptrain::reduce {
namespace {

using testing::HasSubstr;

ReducePlan good() {
  return {.members = {"a", "b"},
          .holder_of_lane = {MemberIndex(0), MemberIndex(1), MemberIndex(0)},
          .chunks = {{0, 2 * kBlockElements}, {2 * kBlockElements, 5}}};
}

template <class Change>
std::string flaw(const Change& change) {
  ReducePlan plan = good();
  change(plan);
  return flaw_of(plan).value_or("none");
}

TEST(ReducePlan, HasItsLimits) {
  EXPECT_EQ(flaw([](auto&) {}), "none");
  EXPECT_THAT(flaw([](auto& p) { p.members.clear(); }), HasSubstr("0 members"));
  EXPECT_THAT(flaw([](auto& p) { p.holder_of_lane.clear(); }), HasSubstr("0 lanes"));
  EXPECT_THAT(flaw([](auto& p) { p.holder_of_lane[1] = MemberIndex(2); }), HasSubstr("member 2"));
  EXPECT_THAT(flaw([](auto& p) { p.holder_of_lane[1] = MemberIndex(0); }),
              HasSubstr("b holds no lane"));
  const auto members = [](std::size_t count) {
    return flaw([&](auto& p) {
      p.members.assign(count, "x");
      p.holder_of_lane.clear();
      for (std::uint32_t l = 0; l < kMaxLanes; ++l) {
        p.holder_of_lane.emplace_back(static_cast<std::uint32_t>(l % count));
      }
      p.chunks.assign(count, {0, 0});
    });
  };
  EXPECT_EQ(members(kMaxMembers), "none");
  EXPECT_THAT(members(kMaxMembers + 1), HasSubstr("members"));
  const auto lanes = [](std::size_t count) {
    return flaw([&](auto& p) { p.holder_of_lane.resize(count, MemberIndex(0)); });
  };
  EXPECT_EQ(lanes(kMaxLanes), "none");
  EXPECT_THAT(lanes(kMaxLanes + 1), HasSubstr("lanes"));
  const auto piece = [](std::uint64_t size) {
    return flaw([&](auto& p) { p.piece_elements = size; });
  };
  EXPECT_EQ(piece(kBlockElements), "none");
  EXPECT_EQ(piece(kMaxPieceElements), "none");
  for (const std::uint64_t size : {std::uint64_t{0}, kBlockElements - 1, kBlockElements + 1,
                                   kMaxPieceElements + kBlockElements}) {
    EXPECT_THAT(piece(size), HasSubstr("pieces of"));
  }
  const auto window = [](std::uint32_t size) {
    return flaw([&](auto& p) { p.window_pieces = size; });
  };
  EXPECT_EQ(window(1), "none");
  EXPECT_EQ(window(kMaxWindowPieces), "none");
  EXPECT_THAT(window(0), HasSubstr("window"));
  EXPECT_THAT(window(kMaxWindowPieces + 1), HasSubstr("window"));
  for (const float feedback : {-0.1F, 1.1F, std::nanf("")}) {
    EXPECT_THAT(flaw([&](auto& p) { p.edges.feedback = feedback; }), HasSubstr("feedback"));
  }
}

TEST(ReducePlan, ChunksFollowOneAnotherAndEndAtBlocks) {
  EXPECT_THAT(flaw([](auto& p) { p.chunks.pop_back(); }), HasSubstr("1 chunks"));
  EXPECT_THAT(flaw([](auto& p) { p.chunks[1].first += 1; }), HasSubstr("chunk 1"));
  EXPECT_THAT(flaw([](auto& p) { p.chunks[0].first = 1; }), HasSubstr("chunk 0"));
  EXPECT_THAT(flaw([](auto& p) {
                p.chunks[0].count -= 1;
                p.chunks[1].first -= 1;
              }),
              HasSubstr("within a block"));
  EXPECT_EQ(flaw([](auto& p) { p.chunks[1].count = kMaxElements - 2 * kBlockElements; }), "none");
  EXPECT_THAT(flaw([](auto& p) { p.chunks[1].count = kMaxElements - 2 * kBlockElements + 1; }),
              HasSubstr("chunk 1"));
  // The end of the vector may be that of several chunks.
  EXPECT_EQ(flaw([](auto& p) {
              p.chunks[0] = {0, 5};
              p.chunks[1] = {5, 0};
            }),
            "none");
}

TEST(ReducePlan, CutsAChunkIntoPieces) {
  ReducePlan plan = good();
  plan.piece_elements = kBlockElements;
  EXPECT_EQ(plan.pieces_of(MemberIndex(0)), 2U);
  EXPECT_EQ(plan.pieces_of(MemberIndex(1)), 1U);
  EXPECT_EQ(plan.piece(MemberIndex(0), 1), (ElementRange{kBlockElements, kBlockElements}));
  EXPECT_EQ(plan.piece(MemberIndex(1), 0), (ElementRange{2 * kBlockElements, 5}));
}

TEST(Residuals, LieWhereTheirEdgeIsEncodedAndBelongToItsLowestLane) {
  ReducePlan plan = good();
  EXPECT_TRUE(places_in_sums(plan).empty());  // without feedback
  plan.edges = {EdgeCodecKind::int8, 1};
  const ElementRange all{0, plan.elements()};
  const MemberIndex a(0);
  const MemberIndex b(1);
  // Nobody holds lanes 0 and 1 alone, so that edge and the root's lie with the owners.
  EXPECT_EQ(places_in_sums(plan), (std::vector<ResidualPlace>{{{0, 1}, all, a},
                                                              {{1, 2}, all, b},
                                                              {{0, 2}, plan.chunks[0], a},
                                                              {{0, 2}, plan.chunks[1], b},
                                                              {{2, 3}, all, a},
                                                              {{0, 3}, plan.chunks[0], a},
                                                              {{0, 3}, plan.chunks[1], b}}));
  EXPECT_EQ(places_by_lane(plan), (std::vector<ResidualPlace>{{{0, 1}, all, a},
                                                              {{1, 2}, all, b},
                                                              {{0, 2}, all, a},
                                                              {{2, 3}, all, a},
                                                              {{0, 3}, all, a}}));
  const auto gathered = moves(places_in_sums(plan), places_by_lane(plan));
  EXPECT_EQ(gathered.size(), 7U);
  EXPECT_EQ(gathered[3], (ResidualMove{{0, 2}, plan.chunks[1], b, a}));
}

TEST(Residuals, OfAnotherPlaceAreADefect) {
  ReducePlan plan = good();
  plan.edges = {EdgeCodecKind::int8, 1};
  Residuals residuals(places_in_sums(plan), MemberIndex(1));
  EXPECT_EQ(residuals.of({1, 2}, {0, plan.elements()}).size(), plan.elements());
  EXPECT_EQ(residuals.of({0, 2}, {2 * kBlockElements + 1, 4}).size(), 4U);
  EXPECT_THROW(residuals.of({0, 2}, {2 * kBlockElements - 1, 4}), Error);
  EXPECT_THROW(residuals.of({0, 2}, {2 * kBlockElements + 1, 5}), Error);
  EXPECT_THROW(residuals.of({0, 1}, {0, 1}), Error);
}

}  // namespace
}  // namespace ptrain::reduce
