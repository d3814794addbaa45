#include "libcommon/transfer/checkpoint_choice.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "libcommon/base/sha256.h"
#include "tests/unit/ckpt/error_of.h"

namespace ptrain::transfer {
namespace {

using ckpt::error_of;
using testing::AllOf;
using testing::HasSubstr;

ckpt::CheckpointId id_of(const std::string& text) { return {sha256(text)}; }

Entry entry(std::uint64_t step, const std::string& id, std::vector<std::uint32_t> held) {
  Entry result{.step = Step(step), .id = id_of(id), .stage_count = 2, .held = {}};
  for (const std::uint32_t stage : held) result.held.emplace_back(stage);
  return result;
}

TEST(CheckpointChoice, LatestIsTheNewestThatTheHoldersHaveBetweenThem) {
  const std::vector<Listing> listings{{entry(30, "c", {0}), entry(20, "b", {0})},
                                      {entry(20, "b", {1}), entry(10, "a", {0, 1})}};
  const auto chosen = choose(listings, "latest", WholeCheckpoint{});
  ASSERT_TRUE(chosen);
  EXPECT_EQ(*chosen, entry(20, "b", {0, 1}));
  EXPECT_EQ(choose(listings, "latest", StageIndex(0))->step, Step(30));
  EXPECT_EQ(choose(listings, "latest", StageIndex(1))->step, Step(20));
}

TEST(CheckpointChoice, AStepItsNameAndAnIdAllNameIt) {
  const std::vector<Listing> listings{{entry(30, "c", {0, 1}), entry(20, "b", {0, 1})}};
  EXPECT_EQ(choose(listings, "20", WholeCheckpoint{})->id, id_of("b"));
  EXPECT_EQ(choose(listings, "step-00000020", WholeCheckpoint{})->id, id_of("b"));
  EXPECT_EQ(choose(listings, id_of("b").hex(), WholeCheckpoint{})->step, Step(20));
  EXPECT_EQ(choose(listings, id_of("b").hex().substr(0, 8), WholeCheckpoint{})->step, Step(20));
}

TEST(CheckpointChoice, WhatNobodyHasIsNotThere) {
  const std::vector<Listing> listings{{entry(30, "c", {0, 1})}};
  EXPECT_FALSE(choose(listings, "31", WholeCheckpoint{}));
  EXPECT_FALSE(choose(listings, id_of("c").hex().substr(0, 7), WholeCheckpoint{}));
  EXPECT_FALSE(choose({}, "latest", WholeCheckpoint{}));
  EXPECT_FALSE(choose({{entry(5, "x", {0})}}, "latest", WholeCheckpoint{}));
}

TEST(CheckpointChoice, HoldersThatDisagreeAreNotChosenBetween) {
  const std::vector<Listing> listings{{entry(30, "c", {0, 1})}, {entry(30, "other", {0, 1})}};
  for (const char* which : {"latest", "30"}) {
    EXPECT_THAT(error_of([&] { choose(listings, which, WholeCheckpoint{}); }, ErrorKind::usage),
                AllOf(HasSubstr(id_of("c").hex()), HasSubstr(id_of("other").hex())));
  }
  EXPECT_TRUE(choose(listings, id_of("other").hex(), WholeCheckpoint{}));
}

TEST(CheckpointChoice, AStageThatNobodyHasIsNamed) {
  const std::vector<Listing> listings{{entry(30, "c", {0})}};
  EXPECT_THAT(error_of([&] { choose(listings, "30", WholeCheckpoint{}); }, ErrorKind::unavailable),
              HasSubstr("no holder has stage 1"));
  EXPECT_TRUE(choose(listings, "30", StageIndex(0)));
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
