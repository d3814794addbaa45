#include "libcommon/job/view.h"

#include <functional>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "libcommon/base/error.h"

namespace ptrain::job {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

CellIndex cell(std::uint32_t stage, std::uint32_t lane) {
  return {StageIndex(stage), LaneIndex(lane)};
}

// "a b, c c": stage 0 held by a and b, stage 1 by c.
View view_of(const std::vector<std::vector<std::string>>& stages, std::uint64_t epoch = 3,
             std::uint64_t first_step = 120, const std::string& driver = "a") {
  View view;
  view.epoch = Epoch(epoch);
  view.first_step = Step(first_step);
  view.driver = PeerName(driver);
  for (std::uint32_t stage = 0; stage < stages.size(); ++stage) {
    for (std::uint32_t lane = 0; lane < stages[stage].size(); ++lane) {
      view.holders[cell(stage, lane)] = PeerName(stages[stage][lane]);
    }
  }
  return view;
}

std::string refusal_of(const std::function<void()>& action, ErrorKind kind = ErrorKind::corrupt) {
  try {
    action();
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), kind) << error.what();
    return error.what();
  }
  return "";
}

TEST(PeerNameTest, IsAWordOfLimitedLength) {
  EXPECT_EQ(PeerName("a.B_9-z").text(), "a.B_9-z");
  EXPECT_TRUE(PeerName().empty());
  const std::string longest(PeerName::kMaxBytes, 'x');
  EXPECT_EQ(PeerName::parse(longest)->text(), longest);
  EXPECT_EQ(PeerName::parse(longest + "x"), std::nullopt);
  for (const char* bad : {"", "a b", "a\n", "ä", "a/b", "a#b", "a,b"}) {
    EXPECT_EQ(PeerName::parse(bad), std::nullopt) << bad;
    EXPECT_THAT(refusal_of([&] { PeerName name{std::string_view(bad)}; }, ErrorKind::usage),
                HasSubstr("is no name of a peer"));
  }
}

TEST(CellGridTest, NamesEveryCellInOrder) {
  const CellGrid grid{.stages = 2, .lanes = 3};
  EXPECT_THAT(grid.cells(),
              ElementsAre(cell(0, 0), cell(0, 1), cell(0, 2), cell(1, 0), cell(1, 1), cell(1, 2)));
  EXPECT_EQ(grid.count(), 6u);
  EXPECT_TRUE(grid.contains(cell(1, 2)));
  EXPECT_FALSE(grid.contains(cell(2, 0)));
  EXPECT_FALSE(grid.contains(cell(0, 3)));
  EXPECT_EQ(to_string(cell(1, 2)), "cell 1,2");
}

TEST(ViewTest, SaysWhoHoldsWhat) {
  const View view = view_of({{"a", "b"}, {"c", "c"}, {"b", "a"}}, 3, 120, "d");
  EXPECT_EQ(holder_of(view, cell(1, 1)).text(), "c");
  EXPECT_THAT(cells_of(view, PeerName("a")), ElementsAre(cell(0, 0), cell(2, 1)));
  EXPECT_THAT(cells_of(view, PeerName("d")), IsEmpty());
  EXPECT_THAT(holders_of(view), ElementsAre(PeerName("a"), PeerName("b"), PeerName("c")));
  EXPECT_THAT(peers_of(view),
              ElementsAre(PeerName("a"), PeerName("b"), PeerName("c"), PeerName("d")));
  EXPECT_EQ(grid_of(view), (CellGrid{.stages = 3, .lanes = 2}));
  EXPECT_THROW(holder_of(view, cell(3, 0)), Error);
}

TEST(ViewTest, EveryCellHasAHolderAndSomebodyDrives) {
  const CellGrid grid{.stages = 2, .lanes = 2};
  const View whole = view_of({{"a", "b"}, {"c", "c"}});
  EXPECT_EQ(flaw_of(whole, grid), std::nullopt);
  for (const CellIndex& each : grid.cells()) {
    View holed = whole;
    holed.holders.erase(each);
    EXPECT_EQ(flaw_of(holed, grid), "nobody holds " + to_string(each));
    holed.holders[each] = PeerName();
    EXPECT_EQ(flaw_of(holed, grid), "nobody holds " + to_string(each));
  }
  View wide = whole;
  wide.holders[cell(0, 2)] = PeerName("a");
  EXPECT_EQ(flaw_of(wide, grid), "cell 0,2 of a job of 2 stages and 2 lanes");
  View undriven = whole;
  undriven.driver = PeerName();
  EXPECT_EQ(flaw_of(undriven, grid), "nobody drives it");
}

TEST(ViewTest, HasALimitOfCells) {
  const auto flaw_of_lanes = [](std::uint32_t lanes) {
    const CellGrid grid{.stages = 4, .lanes = lanes};
    View view = view_of({{"a"}});
    if (grid.count() <= kMaxCells) {
      for (const CellIndex& each : grid.cells()) view.holders[each] = PeerName("a");
    }
    return flaw_of(view, grid);
  };
  EXPECT_EQ(flaw_of_lanes(kMaxCells / 4), std::nullopt);
  EXPECT_THAT(flaw_of_lanes(kMaxCells / 4 + 1).value_or(""), HasSubstr("a view has 1 to 16384"));
  EXPECT_THAT(flaw_of_lanes(0).value_or(""), HasSubstr("a view has 1 to 16384"));
}

TEST(ViewTest, EpochsGrowAndStepsDoNotGoBack) {
  const View now = view_of({{"a"}, {"b"}}, 3, 120);
  EXPECT_EQ(why_not_after(now, view_of({{"a"}, {"c"}}, 4, 120)), std::nullopt);
  EXPECT_EQ(why_not_after(now, view_of({{"a"}, {"c"}}, 9, 121)), std::nullopt);
  EXPECT_EQ(why_not_after(now, view_of({{"a"}, {"c"}}, 3, 120)), "epoch 3 does not follow epoch 3");
  EXPECT_EQ(why_not_after(now, view_of({{"a"}, {"c"}}, 2, 120)), "epoch 2 does not follow epoch 3");
  EXPECT_EQ(why_not_after(now, view_of({{"a"}, {"c"}}, 4, 119)),
            "it begins at step 119, epoch 3 at step 120");
  EXPECT_EQ(why_not_after(now, view_of({{"a", "c"}, {"a", "c"}}, 4, 120)),
            "2 stages of 2 lanes, the job has 2 of 1");
}

TEST(ViewTest, MovesAreTheCellsThatChangeHands) {
  const View from = view_of({{"a", "b"}, {"c", "d"}});
  const View to = view_of({{"a", "a"}, {"e", "d"}}, 4);
  EXPECT_THAT(moves_between(from, to), ElementsAre(Move{cell(0, 1), PeerName("b"), PeerName("a")},
                                                   Move{cell(1, 0), PeerName("c"), PeerName("e")}));
  EXPECT_THAT(moves_between(from, from), IsEmpty());
}

TEST(ViewTest, ReadsBackFromItsCanonicalForm) {
  const View view = view_of({{"a", "b"}, {"a", "c"}});
  const std::string text = canonical_json(view);
  EXPECT_EQ(text, R"({"cells":[["a","b"],["a","c"]],"driver":"a","epoch":3,"first_step":120,)"
                  R"("format":"ptrain-view","version":1})");
  EXPECT_EQ(parse_view(text, "v"), view);
  EXPECT_EQ(digest_of(view), sha256(text));
}

TEST(ViewTest, TheLargestReadsBack) {
  View view = view_of({{"a"}});
  for (const CellIndex& each : CellGrid{.stages = 4, .lanes = kMaxCells / 4}.cells()) {
    view.holders[each] = PeerName(std::string(PeerName::kMaxBytes, 'x'));
  }
  EXPECT_EQ(parse_view(canonical_json(view), "v"), view);
  view.holders[cell(0, kMaxCells / 4)] = PeerName("a");
  for (std::uint32_t stage = 1; stage < 4; ++stage) {
    view.holders[cell(stage, kMaxCells / 4)] = PeerName("a");
  }
  EXPECT_THAT(refusal_of([&] { parse_view(canonical_json(view), "v"); }),
              HasSubstr("4 stages of 4097 lanes, a view has at most 16384 cells"));
}

TEST(ViewTest, AnyChangeChangesTheDigest) {
  const View view = view_of({{"a", "b"}, {"a", "c"}});
  EXPECT_NE(digest_of(view), digest_of(view_of({{"a", "b"}, {"a", "d"}})));
  EXPECT_NE(digest_of(view), digest_of(view_of({{"a", "b"}, {"a", "c"}}, 4)));
  EXPECT_NE(digest_of(view), digest_of(view_of({{"a", "b"}, {"a", "c"}}, 3, 121)));
  EXPECT_NE(digest_of(view), digest_of(view_of({{"a", "b"}, {"a", "c"}}, 3, 120, "b")));
  EXPECT_NE(digest_of(view), digest_of(view_of({{"a"}, {"b"}, {"a"}, {"c"}})));
}

TEST(ViewTest, WhatIsNoViewIsRefusedWithThePlaceAndTheReason) {
  const View view = view_of({{"a", "b"}, {"a", "c"}});
  const auto refuse = [&](const std::function<void(nlohmann::json&)>& change) {
    auto value = nlohmann::json::parse(canonical_json(view));
    change(value);
    return refusal_of([&] { parse_view(value.dump(), "v"); });
  };
  EXPECT_THAT(refuse([](auto& v) { v["format"] = "x"; }), HasSubstr("format is \"x\""));
  EXPECT_THAT(refuse([](auto& v) { v["version"] = 2; }), HasSubstr("version is 2, expected 1"));
  EXPECT_THAT(refuse([](auto& v) { v["cells"] = nlohmann::json::array(); }),
              HasSubstr("a view without cells"));
  EXPECT_THAT(refuse([](auto& v) { v["cells"][1].erase(0); }),
              HasSubstr("v.cells[1]: 1 lanes, stage 0 has 2"));
  EXPECT_THAT(refuse([](auto& v) { v["cells"][0] = nlohmann::json::array(); }),
              HasSubstr("v.cells[0]: expected the holders of its lanes"));
  EXPECT_THAT(refuse([](auto& v) { v["cells"][0] = "a"; }),
              HasSubstr("v.cells[0]: expected the holders of its lanes"));
  EXPECT_THAT(refuse([](auto& v) { v["cells"][1][0] = ""; }),
              HasSubstr("v.cells[1][0]: \"\\\"\\\"\", expected a peer's name"));
  EXPECT_THAT(refuse([](auto& v) { v["cells"][1][0] = 7; }), HasSubstr("v.cells[1][0]"));
  EXPECT_THAT(refuse([](auto& v) { v["driver"] = ""; }), HasSubstr("v.driver"));
  EXPECT_THAT(refuse([](auto& v) { v.erase("driver"); }), HasSubstr("no key \"driver\""));
  EXPECT_THAT(refuse([](auto& v) { v["epoch"] = -1; }), HasSubstr("epoch is -1"));
  EXPECT_THAT(refuse([](auto& v) { v["more"] = 1; }), HasSubstr("unknown key"));
  EXPECT_THAT(refusal_of([&] { parse_view(canonical_json(view) + " ", "v"); }),
              HasSubstr("not in canonical form"));
  EXPECT_THAT(refusal_of([] { parse_view(std::string(kMaxViewBytes + 1, '{'), "v"); }),
              HasSubstr("a view has at most"));
}

}  // namespace
}  // namespace ptrain::job
