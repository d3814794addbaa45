#include "libcommon/metrics/ledger_check.h"

#include <algorithm>
#include <cstdint>
#include <functional>
#include <map>
#include <random>
#include <set>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace ptrain::metrics {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr std::uint64_t kBatch = 8;

job::CellIndex at(std::uint32_t stage, std::uint32_t lane = 0) {
  return {StageIndex(stage), LaneIndex(lane)};
}

// The files of a run of two stages and two lanes, by peer.
class RunLedgers {
 public:
  Ledger& file(const std::string& peer) {
    const auto [place, added] = files_.try_emplace(peer, Ledger{peer + ".jsonl", {}});
    if (added) say(peer, begin(peer));
    return place->second;
  }
  static LedgerBegin begin(const std::string& peer) {
    return {.peer = job::PeerName(peer),
            .job_hash = "abc",
            .samples_per_step = kBatch,
            .grid = {.stages = 2, .lanes = 2}};
  }
  void say(const std::string& peer, const LedgerRecord& record) {
    Ledger& ledger = files_.try_emplace(peer, Ledger{peer + ".jsonl", {}}).first->second;
    ledger.lines.push_back({ledger.lines.size() + 1, record});
  }
  static LedgerStep part(std::uint64_t step, const job::CellIndex& cell, std::uint64_t epoch = 0) {
    const std::uint64_t first = cell.lane.value() * kBatch / 2;
    return {.step = Step(step),
            .epoch = job::Epoch(epoch),
            .cell = cell,
            .samples = {{first, first + kBatch / 2}},
            .compute_s = 0.5,
            .tx_bytes = 10};
  }
  void compute(const std::string& peer, std::uint64_t step, const job::CellIndex& cell,
               std::uint64_t epoch = 0) {
    file(peer);
    say(peer, part(step, cell, epoch));
  }
  // a holds lane 0, b lane 1 of both stages.
  void steps(std::uint64_t first, std::uint64_t last) {
    for (std::uint64_t step = first; step <= last; ++step) {
      for (std::uint32_t stage = 0; stage < 2; ++stage) {
        compute("a", step, at(stage, 0));
        compute("b", step, at(stage, 1));
      }
    }
  }
  LedgerFindings check() const {
    std::vector<Ledger> all;
    for (const auto& [peer, ledger] : files_) all.push_back(ledger);
    return check_ledgers(all);
  }
  std::map<std::string, Ledger>& files() { return files_; }

 private:
  std::map<std::string, Ledger> files_;
};

job::View view_of_epoch(std::uint64_t epoch, const std::string& stage_0_lane_0) {
  job::View view;
  view.epoch = job::Epoch(epoch);
  view.driver = job::PeerName("a");
  for (std::uint32_t stage = 0; stage < 2; ++stage) {
    view.holders[at(stage, 0)] = job::PeerName("a");
    view.holders[at(stage, 1)] = job::PeerName("b");
  }
  view.holders[at(0, 0)] = job::PeerName(stage_0_lane_0);
  return view;
}

TEST(LedgerCheckTest, ACalmRunIsSoundAndSaysWhoDidHowMuch) {
  RunLedgers run;
  run.steps(1, 10);
  const LedgerFindings found = run.check();
  EXPECT_THAT(found.problems, IsEmpty());
  EXPECT_TRUE(found.sound());
  EXPECT_EQ(found.first, Step(1));
  EXPECT_EQ(found.last, Step(10));
  EXPECT_EQ(found.open_steps, 0u);
  EXPECT_EQ(found.samples, 10 * kBatch);
  EXPECT_EQ(found.by_peer.at(job::PeerName("b")), (Contribution{80, 0, 10.0, 200}));
}

TEST(LedgerCheckTest, StepsAfterTheLastWholeOneAreOpen) {
  RunLedgers run;
  run.steps(1, 4);
  run.compute("a", 5, at(0, 0));
  run.compute("b", 6, at(1, 1));
  const LedgerFindings found = run.check();
  EXPECT_TRUE(found.sound());
  EXPECT_EQ(found.last, Step(4));
  EXPECT_EQ(found.open_steps, 2u);
}

TEST(LedgerCheckTest, APartThatNobodyTellsOfIsAProblemWhereLaterStepsAreWhole) {
  RunLedgers run;
  run.file("a");
  run.say("a", LedgerView{view_of_epoch(0, "a")});
  run.steps(1, 2);
  for (const auto& cell : {at(0, 0), at(1, 0)}) run.compute("a", 3, cell);
  run.compute("b", 3, at(1, 1));
  run.steps(6, 6);
  EXPECT_THAT(run.check().problems, ElementsAre("step 3: nobody tells of cell 0,1, which b held",
                                                "steps 4 to 5: nobody tells of them"));
}

TEST(LedgerCheckTest, WithoutAFileOfAPeerNothingIsWhole) {
  RunLedgers run;
  run.steps(1, 3);
  run.files().erase("b");
  const LedgerFindings found = run.check();
  EXPECT_THAT(found.problems,
              ElementsAre("no step is told of by the holders of all cells: of step 1, nobody tells "
                          "of cell 0,1"));
  EXPECT_EQ(found.last, std::nullopt);
  EXPECT_EQ(found.open_steps, 3u);
}

TEST(LedgerCheckTest, APartMayBeReplayedAndNotComputedTwice) {
  RunLedgers run;
  run.steps(1, 3);
  LedgerStep again = RunLedgers::part(2, at(0, 0));
  again.replayed = true;
  run.file("c");
  run.say("c", again);
  EXPECT_TRUE(run.check().sound());
  EXPECT_EQ(run.check().by_peer.at(job::PeerName("c")), (Contribution{4, 4, 0.5, 10}));
  again.replayed = false;
  run.say("c", again);
  EXPECT_THAT(run.check().problems,
              ElementsAre("step 2, cell 0,0: computed by a (a.jsonl:4) and by c (c.jsonl:3), and "
                          "neither replayed it"));
}

TEST(LedgerCheckTest, AReplayOfOtherSamplesIsAProblem) {
  RunLedgers run;
  run.steps(1, 3);
  LedgerStep again = RunLedgers::part(2, at(0, 0));
  again.replayed = true;
  again.samples = {{0, 3}};
  run.file("c");
  run.say("c", again);
  EXPECT_THAT(run.check().problems, ElementsAre(HasSubstr("tell of different samples")));
}

TEST(LedgerCheckTest, ASampleIsUsedByOneLaneAndByOne) {
  RunLedgers run;
  run.steps(1, 1);
  auto& step = std::get<LedgerStep>(run.files().at("b").lines[1].record);
  ASSERT_EQ(step.cell, at(0, 1));
  step.samples = {{3, 8}};
  EXPECT_THAT(run.check().problems,
              ElementsAre("step 1: sample 3 was used by cell 0,0 and by cell 0,1"));
  step.samples = {{5, 7}};
  EXPECT_THAT(run.check().problems,
              ElementsAre("step 1: no lane of stage 0 has used samples 4 to 4",
                          "step 1: no lane of stage 0 has used samples 7 to 7"));
  step.samples = {{4, 6}, {6, 8}};
  EXPECT_THAT(run.check().problems, IsEmpty());
}

TEST(LedgerCheckTest, WhoTellsOfAPartHeldTheCell) {
  RunLedgers run;
  run.file("a");
  run.say("a", LedgerView{view_of_epoch(0, "b")});
  run.compute("a", 1, at(0, 0));
  EXPECT_THAT(run.check().problems,
              ElementsAre("step 1, cell 0,0: a.jsonl:3 says that a computed it, but b held it in "
                          "epoch 0 (a.jsonl:2)",
                          HasSubstr("no step is told of")));
}

TEST(LedgerCheckTest, AnEpochHasOneView) {
  RunLedgers run;
  run.steps(1, 2);
  run.say("a", LedgerView{view_of_epoch(3, "a")});
  run.say("b", LedgerView{view_of_epoch(3, "a")});
  EXPECT_TRUE(run.check().sound());
  run.say("b", LedgerView{view_of_epoch(3, "b")});
  EXPECT_THAT(run.check().problems, ElementsAre("two views of epoch 3: a.jsonl:6 and b.jsonl:7"));
}

TEST(LedgerCheckTest, LedgersOfTwoJobsAreSaid) {
  RunLedgers run;
  run.steps(1, 2);
  LedgerBegin other = RunLedgers::begin("b");
  other.job_hash = "xyz";
  other.grid = {.stages = 3, .lanes = 2};
  run.say("b", other);
  EXPECT_THAT(run.check().problems,
              ElementsAre("b.jsonl:6: job_hash xyz, a.jsonl:1 has abc: not of one job",
                          "b.jsonl:6: stages 3, a.jsonl:1 has 2: not of one job"));
}

TEST(LedgerCheckTest, WhatAResumedRunDoesAgainReplacesWhatItHadDone) {
  RunLedgers run;
  run.steps(1, 5);
  for (const char* peer : {"a", "b"}) {
    LedgerBegin begin = RunLedgers::begin(peer);
    begin.goes_on_from = Step(3);
    run.say(peer, begin);
  }
  EXPECT_EQ(run.check().last, Step(3));
  run.steps(4, 6);
  const LedgerFindings found = run.check();
  EXPECT_THAT(found.problems, IsEmpty());
  EXPECT_EQ(found.last, Step(6));
  EXPECT_EQ(found.by_peer.at(job::PeerName("a")).samples, 6 * kBatch);
}

TEST(LedgerCheckTest, DigestsOfSiblingsAndOfReplaysAgree) {
  RunLedgers run;
  run.steps(1, 4);
  const auto digest = [](std::uint32_t lane, const char* state) {
    return LedgerDigest{Step(4), at(1, lane), sha256(state)};
  };
  run.say("a", digest(0, "x"));
  EXPECT_EQ(run.check().digests, 0u);
  run.say("b", digest(1, "x"));
  EXPECT_TRUE(run.check().sound());
  EXPECT_EQ(run.check().digests, 2u);
  run.say("b", digest(1, "y"));
  EXPECT_THAT(run.check().problems,
              ElementsAre(HasSubstr("after step 4, cell 1,0 of a (a.jsonl:10) has SHA-256 ")));
}

TEST(LedgerCheckTest, LanesThatTrainApartHaveDigestsOfTheirOwn) {
  RunLedgers run;
  for (const char* peer : {"a", "b"}) {
    LedgerBegin begin = RunLedgers::begin(peer);
    begin.siblings_alike = false;
    run.say(peer, begin);
  }
  run.steps(1, 1);
  run.say("a", LedgerDigest{Step(1), at(1, 0), sha256("x")});
  run.say("b", LedgerDigest{Step(1), at(1, 1), sha256("y")});
  EXPECT_TRUE(run.check().sound());
  run.say("b", LedgerDigest{Step(1), at(1, 0), sha256("y")});
  EXPECT_EQ(run.check().problem_count, 1u);
}

TEST(LedgerCheckTest, WarningsAndProblemsAreToldUpToALimit) {
  RunLedgers run;
  run.steps(1, 1);
  for (std::size_t i = 0; i < LedgerFindings::kMostProblems + 5; ++i) {
    run.say("a", LedgerWarning{Step(1), "filled by the mean of its neighbours"});
    run.say("b", LedgerDigest{Step(i + 1), at(0, 0), sha256("x")});
    run.say("b", LedgerDigest{Step(i + 1), at(0, 0), sha256("y")});
  }
  const LedgerFindings found = run.check();
  EXPECT_EQ(found.warnings.size(), LedgerFindings::kMostProblems);
  EXPECT_EQ(found.warnings.front(), "a.jsonl:4: step 1: filled by the mean of its neighbours");
  EXPECT_EQ(found.problems.size(), LedgerFindings::kMostProblems);
  EXPECT_EQ(found.problem_count, LedgerFindings::kMostProblems + 5);
}

// Runs whose cells change hands, with replays; sound as they are, and not with any one defect.
class LedgerStorm : public ::testing::TestWithParam<int> {};

TEST_P(LedgerStorm, EveryPlantedDefectIsFound) {
  std::mt19937_64 random(static_cast<std::uint64_t>(GetParam()));
  const auto below = [&](std::uint64_t limit) { return random() % limit; };
  RunLedgers run;
  const std::vector<std::string> peers{"a", "b", "c", "d", "e"};
  job::View view = view_of_epoch(0, "a");
  run.file("a");
  run.say("a", LedgerView{view});
  for (std::uint64_t step = 1; step <= 20; ++step) {
    if (below(4) == 0) {  // a cell changes hands, and is computed again from some steps before
      view.epoch = view.epoch.next();
      const job::CellIndex cell = at(below(2), below(2));
      const std::string taker = peers[below(peers.size())];
      view.holders[cell] = job::PeerName(taker);
      run.file(taker);
      run.say(taker, LedgerView{view});
      for (std::uint64_t past = step - std::min<std::uint64_t>(step - 1, below(4)); past < step;
           ++past) {
        LedgerStep again = RunLedgers::part(past, cell, view.epoch.value());
        again.replayed = true;
        run.say(taker, again);
      }
    }
    for (const auto& [cell, holder] : view.holders) {
      run.compute(holder.text(), step, cell, view.epoch.value());
      if (step % 5 == 0) {
        run.say(holder.text(), LedgerDigest{Step(step), cell,
                                            sha256(std::to_string(step * 2 + cell.stage.value()))});
      }
    }
  }
  ASSERT_THAT(run.check().problems, IsEmpty());
  EXPECT_EQ(run.check().last, Step(20));

  // One that is told of once, so that no replay stands in for it, and not of the last step.
  std::map<std::pair<Step, job::CellIndex>, int> told;
  std::vector<std::pair<std::string, std::size_t>> places;
  for (const auto& [peer, ledger] : run.files()) {
    for (const LedgerLine& line : ledger.lines) {
      const auto* step = std::get_if<LedgerStep>(&line.record);
      if (step != nullptr) ++told[{step->step, step->cell}];
    }
  }
  for (const auto& [peer, ledger] : run.files()) {
    for (std::size_t i = 0; i < ledger.lines.size(); ++i) {
      const auto* step = std::get_if<LedgerStep>(&ledger.lines[i].record);
      if (step != nullptr && step->step < Step(20) && told[{step->step, step->cell}] == 1) {
        places.emplace_back(peer, i);
      }
    }
  }
  const auto place = places[below(places.size())];
  const std::string& peer = place.first;
  const std::size_t index = place.second;
  const auto with = [&](const std::function<void(Ledger&, LedgerStep&)>& defect) {
    RunLedgers damaged = run;
    Ledger& ledger = damaged.files().at(peer);
    defect(ledger, std::get<LedgerStep>(ledger.lines[index].record));
    return damaged.check().problem_count;
  };
  EXPECT_EQ(with([](Ledger&, LedgerStep&) {}), 0u);
  EXPECT_GT(with([i = index](Ledger& ledger, LedgerStep&) {
              ledger.lines.erase(ledger.lines.begin() + static_cast<std::ptrdiff_t>(i));
            }),
            0u);
  EXPECT_GT(with([](Ledger& ledger, LedgerStep& step) {
              const LedgerStep twice = step;
              ledger.lines.push_back({ledger.lines.size() + 1, twice});
            }),
            0u);
  EXPECT_GT(with([](Ledger&, LedgerStep& step) { ++step.samples[0].first; }), 0u);
  EXPECT_GT(with([](Ledger&, LedgerStep& step) {
              const std::uint64_t other = (step.samples[0].first + kBatch / 2) % kBatch;
              step.samples = {{other, other + kBatch / 2}};
            }),
            0u);
  EXPECT_GT(with([](Ledger&, LedgerStep& step) {
              step.cell.lane = LaneIndex(1 - step.cell.lane.value());
            }),
            0u);
}

INSTANTIATE_TEST_SUITE_P(Seeds, LedgerStorm, ::testing::Range(1, 41));

}  // namespace
}  // namespace ptrain::metrics
