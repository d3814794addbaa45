#include "libcommon/elastic/placement.h"

#include <cstdint>
#include <map>
#include <random>
#include <set>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "libcommon/base/error.h"
#include "tests/unit/elastic/views.h"

namespace ptrain::elastic {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

PeerName peer(const char* name) { return PeerName(name); }

Taking only_taking(const View& view, const std::set<PeerName>& lost, const Crew& crew) {
  const Placement placement = take_over(view, lost, crew);
  EXPECT_THAT(placement.nobody_s, IsEmpty());
  EXPECT_EQ(placement.takings.size(), 1u);
  return placement.takings.at(0);
}

TEST(PlacementTest, ASpareComesBeforeASiblingAndASiblingBeforeANewcomer) {
  const View view = view_of({"ab", "cd"});
  Crew crew{.spares = {{peer("s")}}, .newcomers = {{peer("n")}}, .room = {{peer("c"), 1}}};
  EXPECT_EQ(
      only_taking(view, {peer("d")}, crew),
      (Taking{cell_at(1, 1), peer("s"), TakenBy::spare, "s, a spare that fetches its checkpoint"}));
  crew.spares.clear();
  EXPECT_EQ(
      only_taking(view, {peer("d")}, crew),
      (Taking{cell_at(1, 1), peer("c"), TakenBy::sibling, "c, a sibling that holds cell 1,0"}));
  crew.room.clear();
  EXPECT_EQ(only_taking(view, {peer("d")}, crew),
            (Taking{cell_at(1, 1), peer("n"), TakenBy::newcomer,
                    "n, a newcomer that fetches its checkpoint"}));
  crew.newcomers.clear();
  EXPECT_THAT(take_over(view, {peer("d")}, crew).nobody_s, ElementsAre(cell_at(1, 1)));
}

TEST(PlacementTest, OfSparesTheOneWithTheCheckpointAtHandThenTheFirstName) {
  const View view = view_of({"a", "b"});
  Crew crew{.spares = {{peer("t")}, {peer("s")}, {peer("u"), 1, {cell_at(1)}}}, .newcomers = {}};
  EXPECT_EQ(only_taking(view, {peer("b")}, crew).why, "u, a spare with its checkpoint at hand");
  crew.spares.pop_back();
  EXPECT_EQ(only_taking(view, {peer("b")}, crew).peer, peer("s"));
}

TEST(PlacementTest, OfSiblingsTheOneWithTheFewestCells) {
  const View view = view_of({"abcc", "aabb"});
  const Crew crew{.spares = {}, .newcomers = {}, .room = {{peer("a"), 9}, {peer("b"), 9}}};
  const Placement placement = take_over(view, {peer("c")}, crew);
  ASSERT_EQ(placement.takings.size(), 2u);
  EXPECT_EQ(placement.takings[0].peer, peer("a"));  // both hold three
  EXPECT_EQ(placement.takings[1].peer, peer("b"));  // a holds four now
}

TEST(PlacementTest, AHolderOfAnotherStageIsNoSibling) {
  const Crew crew{.spares = {}, .newcomers = {}, .room = {{peer("a"), 9}}};
  EXPECT_THAT(take_over(view_of({"a", "b"}), {peer("b")}, crew).nobody_s, ElementsAre(cell_at(1)));
}

TEST(PlacementTest, NobodyTakesMoreThanItHasRoomFor) {
  const View view = view_of({"aaab"});
  const Crew crew{.spares = {{peer("s"), 2}}, .newcomers = {}, .room = {{peer("b"), 0}}};
  const Placement placement = take_over(view, {peer("a")}, crew);
  EXPECT_EQ(placement.takings.size(), 2u);
  EXPECT_THAT(placement.nobody_s, ElementsAre(cell_at(0, 2)));
}

TEST(PlacementTest, ALostSpareIsGivenNothing) {
  const Crew crew{.spares = {{peer("s")}}, .newcomers = {}};
  EXPECT_THAT(take_over(view_of({"a", "b"}), {peer("b"), peer("s")}, crew).nobody_s,
              ElementsAre(cell_at(1)));
}

TEST(PlacementTest, TheNextViewHasTheTakingsAndTheDriverAndDoesNotGoBack) {
  const View view = view_of({"a", "b"}, 4, 100);
  const Crew crew{.spares = {{peer("s")}}, .newcomers = {}};
  const Placement placement = take_over(view, {peer("a")}, crew);
  EXPECT_EQ(with_takings(view, placement, Step(120), peer("b")), view_of({"s", "b"}, 5, 120, "b"));
  EXPECT_EQ(with_takings(view, placement, Step(7), peer("b")).first_step, Step(100));
}

TEST(PlacementTest, WhoLeavesHandsItsCellsAndTheDrivingToItsSuccessor) {
  const View view = view_of({"ab", "ba"}, 4, 100);
  EXPECT_EQ(after_leaving(view, peer("a"), peer("c"), Step(101)),
            view_of({"cb", "bc"}, 5, 101, "c"));
  EXPECT_EQ(after_leaving(view, peer("b"), peer("a"), Step(101)),
            view_of({"aa", "aa"}, 5, 101, "a"));
  EXPECT_THROW(after_leaving(view, peer("a"), peer("a"), Step(101)), Error);
}

TEST(PlacementTest, WhoJoinsIsGivenCellsOfOthers) {
  const View view = view_of({"aa", "bb"}, 4, 100);
  EXPECT_EQ(after_joining(view, peer("c"), {cell_at(0, 1), cell_at(1, 1)}, Step(101)),
            view_of({"ac", "bc"}, 5, 101, "a"));
  EXPECT_THROW(after_joining(view, peer("c"), {}, Step(101)), Error);
  EXPECT_THROW(after_joining(view, peer("c"), {cell_at(2, 0)}, Step(101)), Error);
  EXPECT_THROW(after_joining(view, peer("a"), {cell_at(0, 0)}, Step(101)), Error);
  EXPECT_THROW(after_joining(view, peer("c"), {cell_at(0, 0), cell_at(0, 0)}, Step(101)), Error);
}

TEST(PlacementTest, HoldersSucceedByTheirFirstCellThenTheSpares) {
  const View view = view_of({"ca", "ab"});
  EXPECT_THAT(line_of_succession(view, {peer("c")}, {{peer("t")}, {peer("s")}}),
              ElementsAre(peer("a"), peer("b"), peer("t"), peer("s")));
  EXPECT_THAT(line_of_succession(view, {}, {}), ElementsAre(peer("c"), peer("a"), peer("b")));
}

// Whatever happens: every lost cell is taken once or nobody's, by somebody who lives, within its
// room; nobody's only where nobody who may take it has room left; and no other cell moves.
TEST(PlacementTest, HoldsForRandomViewsAndCrews) {
  std::mt19937_64 random(20);
  const auto below = [&](std::uint64_t limit) { return random() % limit; };
  for (int round = 0; round < 2000; ++round) {
    const std::uint32_t lanes = 1 + below(4);
    std::vector<std::string> stages(1 + below(4));
    for (std::string& stage : stages) {
      for (std::uint32_t lane = 0; lane < lanes; ++lane) {
        stage.push_back(static_cast<char>('a' + below(6)));
      }
    }
    const View view = view_of(stages);
    std::set<PeerName> lost;
    Crew crew;
    for (const PeerName& each : job::holders_of(view)) {
      if (below(3) == 0) lost.insert(each);
      if (below(2) == 0) crew.room[each] = below(3);
    }
    std::map<PeerName, std::uint64_t> room(crew.room.begin(), crew.room.end());
    for (const char* name : {"s", "t", "n"}) {
      Candidate candidate{peer(name), static_cast<std::uint32_t>(below(3))};
      room[candidate.peer] = candidate.room;
      if (below(5) == 0) lost.insert(candidate.peer);
      (*name == 'n' ? crew.newcomers : crew.spares).push_back(candidate);
    }

    const Placement placement = take_over(view, lost, crew);
    std::set<CellIndex> seen(placement.nobody_s.begin(), placement.nobody_s.end());
    std::map<PeerName, std::uint64_t> taken;
    for (const Taking& taking : placement.takings) {
      EXPECT_TRUE(seen.insert(taking.cell).second);
      EXPECT_FALSE(lost.contains(taking.peer));
      ++taken[taking.peer];
    }
    for (const auto& [each, count] : taken) EXPECT_LE(count, room[each]) << each.text();
    std::uint64_t lost_cells = 0;
    for (const auto& [cell, holder] : view.holders) {
      lost_cells += lost.contains(holder) ? 1 : 0;
      EXPECT_EQ(seen.contains(cell), lost.contains(holder)) << job::to_string(cell);
    }
    EXPECT_EQ(seen.size(), lost_cells);
    if (!placement.nobody_s.empty()) {
      for (const char* name : {"s", "t", "n"}) {
        EXPECT_TRUE(lost.contains(peer(name)) || taken[peer(name)] == room[peer(name)]) << name;
      }
    }
    const View next = with_takings(view, placement, Step(0), peer("a"));
    EXPECT_EQ(job::moves_between(view, next).size(), placement.takings.size());
  }
}

}  // namespace
}  // namespace ptrain::elastic
