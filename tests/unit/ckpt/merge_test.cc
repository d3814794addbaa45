#include "libcommon/ckpt/merge.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "libcommon/ckpt/verify.h"
#include "tests/unit/ckpt/damage.h"
#include "tests/unit/ckpt/error_of.h"
#include "tests/unit/ckpt/sample_checkpoint.h"
#include "tests/unit/os/temporary_directory.h"

namespace ptrain::ckpt {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

constexpr Step kStep(10);
const std::vector<std::int64_t> kCut = {1, 2, 4};

class MergeTest : public ::testing::Test {
 protected:
  std::filesystem::path host(std::uint32_t i) {
    return directory_.path() / ("host-" + std::to_string(i));
  }
  CheckpointStore store(std::uint32_t i) { return {disk_, host(i), "test"}; }
  // Each of three hosts writes its own stage.
  std::vector<StageRecord> save_apart(const SampleCheckpoint& sample) {
    std::vector<StageRecord> records;
    for (const std::uint32_t i : {0, 1, 2}) {
      records.push_back(store(i).write_stage(sample.stage(i, kCut)));
    }
    return records;
  }
  MergePlan plan(std::vector<std::filesystem::path> directories) {
    return plan_merge(disk_, directories, kStep);
  }
  std::vector<std::filesystem::path> hosts() { return {host(0), host(1), host(2)}; }

  os::TemporaryDirectory directory_;
  os::PosixStorage disk_;
  CheckpointStore target_{disk_, directory_.path() / "whole", "test"};
};

TEST_F(MergeTest, IsWhatOneFolderWouldHaveHeld) {
  const SampleCheckpoint sample(kStep, {.tied = true});
  save_apart(sample);
  const CheckpointId id = merge(disk_, plan(hosts()), target_);
  CheckpointStore direct(disk_, directory_.path() / "direct", "test");
  EXPECT_EQ(id, sample.save(direct, kCut));
  EXPECT_TRUE(
      verify_step(disk_, target_.step_directory(kStep), {.thoroughness = Thoroughness::data})
          .whole());
}

TEST_F(MergeTest, WithOrWithoutManifestsAtTheHosts) {
  const Manifest manifest = make_manifest(save_apart(SampleCheckpoint(kStep)));
  store(0).write_manifest(manifest);
  EXPECT_EQ(merge(disk_, plan(hosts()), target_), checkpoint_id(manifest));
}

TEST_F(MergeTest, IntoOneOfTheFolders) {
  const Manifest manifest = make_manifest(save_apart(SampleCheckpoint(kStep)));
  CheckpointStore first = store(0);
  first.write_manifest(manifest);
  EXPECT_EQ(merge(disk_, plan(hosts()), first), checkpoint_id(manifest));
  EXPECT_EQ(first.inspect(kStep)->state, StepState::complete);
}

TEST_F(MergeTest, AStageThatNobodyHoldsIsNamed) {
  save_apart(SampleCheckpoint(kStep));
  EXPECT_THAT(error_of([&] { plan({host(0), host(2)}); }), HasSubstr("stage 1 of 3"));
  std::filesystem::remove(store(2).step_directory(kStep) / "stage-02.optim.safetensors");
  EXPECT_THAT(error_of([&] { plan(hosts()); }), HasSubstr("stage 2 of 3"));
  EXPECT_THAT(error_of([&] { plan({}); }), HasSubstr("there are none"));
}

TEST_F(MergeTest, AStageIsTakenFromWhoeverHoldsAllOfIt) {
  save_apart(SampleCheckpoint(kStep));
  std::filesystem::copy(host(2), host(3), std::filesystem::copy_options::recursive);
  std::filesystem::remove(store(2).step_directory(kStep) / "stage-02.model.safetensors");
  merge(disk_, plan({host(0), host(1), host(2), host(3)}), target_);
  EXPECT_EQ(target_.inspect(kStep)->state, StepState::complete);
}

TEST_F(MergeTest, StagesOfDifferentSavesAreRefusedWithTheFieldAndBothValues) {
  const SampleCheckpoint sample(kStep);
  save_apart(sample);
  StageState other = sample.stage(2, kCut);
  other.run.cursor = 7;
  store(2).write_stage(other);
  EXPECT_THAT(error_of([&] { plan(hosts()); }),
              AllOf(HasSubstr("cursor is 160 in "), HasSubstr("7 in "), HasSubstr("host-2")));
  store(2).write_stage(SampleCheckpoint(kStep).stage(1, {2, 4}));
  EXPECT_THAT(error_of([&] { plan(hosts()); }), HasSubstr("stage_count is 3 in "));
}

TEST_F(MergeTest, TwoHostsWithDifferentBytesOfOneStageAreRefused) {
  save_apart(SampleCheckpoint(kStep));
  store(3).write_stage(SampleCheckpoint(kStep, {.seed = 2}).stage(2, kCut));
  EXPECT_THAT(error_of([&] {
                plan({host(0), host(1), host(2), host(3)});
              }),
              HasSubstr("the model file's SHA-256"));
}

TEST_F(MergeTest, AManifestThatTheRecordsDoNotMakeIsRefused) {
  const Manifest manifest = make_manifest(save_apart(SampleCheckpoint(kStep)));
  const SampleCheckpoint other(kStep, {.seed = 2});
  store(0).write_manifest(manifest);
  for (const std::uint32_t i : {1, 2}) store(i).write_stage(other.stage(i, kCut));
  EXPECT_THAT(error_of([&] { plan(hosts()); }), HasSubstr(checkpoint_id(manifest).hex()));
}

TEST_F(MergeTest, DamageIsFoundWhileCopyingAndNothingIsComplete) {
  save_apart(SampleCheckpoint(kStep));
  flip_bit(store(1).step_directory(kStep) / "stage-01.optim.safetensors", 6000);
  EXPECT_THAT(error_of([&] { merge(disk_, plan(hosts()), target_); }),
              HasSubstr("stage-01.optim.safetensors: chunk 0"));
  EXPECT_EQ(target_.inspect(kStep)->state, StepState::partial);
  CheckpointStore itself = store(1);
  EXPECT_THAT(error_of([&] { merge(disk_, plan(hosts()), itself); }),
              HasSubstr("stage-01.optim.safetensors: chunk 0"));
}

TEST_F(MergeTest, TheNewestIsTheNewestStepThatTheFoldersHoldBetweenThem) {
  StderrLog log("test");
  EXPECT_FALSE(plan_newest_merge(disk_, hosts(), log));
  save_apart(SampleCheckpoint(kStep));
  EXPECT_EQ(plan_newest_merge(disk_, hosts(), log)->manifest.run.step, kStep);
  const SampleCheckpoint next(Step(20));
  for (const std::uint32_t i : {0, 2}) store(i).write_stage(next.stage(i, kCut));
  EXPECT_EQ(plan_newest_merge(disk_, hosts(), log)->manifest.run.step, kStep);
  store(1).write_stage(next.stage(1, kCut));
  EXPECT_EQ(plan_newest_merge(disk_, hosts(), log)->manifest.run.step, Step(20));
  const std::vector<std::filesystem::path> one{host(0)};
  EXPECT_THAT(error_of([&] { plan_newest_merge(disk_, one, log); }), HasSubstr("stage 1 of 3"));
}

TEST_F(MergeTest, NeverWritesOverAnotherCheckpoint) {
  save_apart(SampleCheckpoint(kStep));
  const CheckpointId id = SampleCheckpoint(kStep, {.seed = 2}).save(target_, kCut);
  EXPECT_THAT(error_of([&] { merge(disk_, plan(hosts()), target_); }, ErrorKind::usage),
              HasSubstr("another checkpoint"));
  EXPECT_EQ(target_.find("latest")->id, id);
}

}  // namespace
}  // namespace ptrain::ckpt
