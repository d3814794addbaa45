#include "libcommon/transfer/checkpoint_choice.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "libcommon/base/sha256.h"
#include "tests/unit/ckpt/error_of.h"

namespace ptrain::transfer {
namespace {

using ckpt::error_of;
using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;

ckpt::CheckpointId id_of(const std::string& text) { return {sha256(text)}; }

Entry entry(std::uint64_t step, const std::string& id, std::vector<std::uint32_t> held) {
  Entry result{.step = Step(step), .id = id_of(id), .stage_count = 2, .held = {}};
  for (const std::uint32_t stage : held) result.held.emplace_back(stage);
  return result;
}

std::vector<std::uint64_t> steps(const Listing& entries) {
  std::vector<std::uint64_t> numbers;
  for (const Entry& e : entries) numbers.push_back(e.step.value());
  return numbers;
}

TEST(CheckpointChoice, LatestIsTheNewestThatTheHoldersHaveBetweenThem) {
  const std::vector<Listing> listings{{entry(30, "c", {0}), entry(20, "b", {0})},
                                      {entry(20, "b", {1}), entry(10, "a", {0, 1})}};
  EXPECT_THAT(fitting(listings, "latest", WholeCheckpoint{}), ElementsAre(entry(20, "b", {0, 1})));
  EXPECT_THAT(steps(fitting(listings, "latest", StageIndex(0))), ElementsAre(30));
  EXPECT_THAT(steps(fitting(listings, "latest", StageIndex(1))), ElementsAre(20));
}

TEST(CheckpointChoice, AStepItsNameAndAnIdAllNameIt) {
  const std::vector<Listing> listings{{entry(30, "c", {0, 1}), entry(20, "b", {0, 1})}};
  const std::string id = id_of("b").hex();
  for (const std::string& which :
       {std::string("20"), std::string("step-00000020"), id, id.substr(0, 8)}) {
    EXPECT_THAT(fitting(listings, which, WholeCheckpoint{}), ElementsAre(entry(20, "b", {0, 1})));
  }
}

TEST(CheckpointChoice, WhatNobodyHasIsNotThere) {
  const std::vector<Listing> listings{{entry(30, "c", {0, 1})}};
  EXPECT_THAT(fitting(listings, "31", WholeCheckpoint{}), IsEmpty());
  EXPECT_THAT(fitting(listings, id_of("c").hex().substr(0, 7), WholeCheckpoint{}), IsEmpty());
  EXPECT_THAT(fitting({}, "latest", WholeCheckpoint{}), IsEmpty());
  EXPECT_THAT(fitting({{entry(5, "x", {0})}}, "latest", WholeCheckpoint{}), IsEmpty());
}

TEST(CheckpointChoice, HoldersThatDisagreeAreNotChosenBetween) {
  const std::vector<Listing> listings{{entry(30, "c", {0, 1})}, {entry(30, "other", {0, 1})}};
  for (const char* which : {"latest", "30"}) {
    const Listing both = fitting(listings, which, WholeCheckpoint{});
    ASSERT_THAT(both, SizeIs(2));
    EXPECT_THAT(ambiguous(both, which).what(),
                AllOf(HasSubstr(id_of("c").hex()), HasSubstr(id_of("other").hex())));
  }
  EXPECT_THAT(fitting(listings, id_of("other").hex(), WholeCheckpoint{}), SizeIs(1));
}

TEST(CheckpointChoice, AnotherStepOrNumberOfStagesForAnIdTakesNothingFromTheTrueOne) {
  Entry larger = entry(30, "c", {0, 1});
  larger.stage_count = 64;
  const Entry later = entry(31, "c", {0});
  const std::vector<Listing> listings{{larger, later}, {entry(30, "c", {0, 1})}};
  EXPECT_THAT(fitting(listings, "latest", WholeCheckpoint{}), ElementsAre(entry(30, "c", {0, 1})));
}

TEST(CheckpointChoice, AStageThatNobodyHasIsNamed) {
  EXPECT_THAT(
      error_of([&] { check_held(entry(30, "c", {0}), WholeCheckpoint{}); }, ErrorKind::unavailable),
      HasSubstr("no holder has stage 1"));
  check_held(entry(30, "c", {0}), StageIndex(0));
}

ckpt::Manifest three_stages(bool tied) {
  ckpt::Manifest manifest;
  manifest.run.model.tie_word_embeddings = tied;
  manifest.stages.resize(3);
  manifest.stages[0].span = {0, 2, true, false};
  manifest.stages[1].span = {2, 4, false, false};
  manifest.stages[2].span = {4, 6, false, true};
  return manifest;
}

std::vector<std::uint32_t> wanted(const ckpt::Manifest& manifest, const Share& share) {
  std::vector<std::uint32_t> numbers;
  for (const StageIndex stage : wanted_stages(manifest, share)) numbers.push_back(stage.value());
  return numbers;
}

TEST(CheckpointChoice, ASpanWantsTheStagesThatItOverlaps) {
  const auto manifest = three_stages(false);
  EXPECT_EQ(wanted(manifest, WholeCheckpoint{}), (std::vector<std::uint32_t>{0, 1, 2}));
  EXPECT_EQ(wanted(manifest, StageIndex(1)), (std::vector<std::uint32_t>{1}));
  EXPECT_EQ(wanted(manifest, job::StageSpan{1, 3, false, false}),
            (std::vector<std::uint32_t>{0, 1}));
  EXPECT_EQ(wanted(manifest, job::StageSpan{4, 6, false, true}), (std::vector<std::uint32_t>{2}));
  EXPECT_EQ(wanted(three_stages(true), job::StageSpan{4, 6, false, true}),
            (std::vector<std::uint32_t>{0, 2}));
  EXPECT_THAT(error_of([&] { wanted_stages(manifest, StageIndex(3)); }, ErrorKind::usage),
              HasSubstr("the checkpoint has 3"));
}

}  // namespace
}  // namespace ptrain::transfer
