#include "libcommon/ckpt/reshard.h"

#include <algorithm>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "libcommon/ckpt/verify.h"
#include "libcommon/job/partition.h"
#include "tests/unit/ckpt/damage.h"
#include "tests/unit/ckpt/error_of.h"
#include "tests/unit/ckpt/sample_checkpoint.h"
#include "tests/unit/os/temporary_directory.h"

namespace ptrain::ckpt {
namespace {

using ::testing::HasSubstr;

constexpr Step kStep(10);

class ReshardTest : public ::testing::Test {
 protected:
  std::filesystem::path root(const std::string& name) { return directory_.path() / name; }
  CheckpointStore store(const std::string& name) { return {disk_, root(name), "test"}; }
  CheckpointId cut(const std::string& from, const std::string& to, std::size_t stages,
                   const std::vector<job::StageLayers>& layers = {}) {
    const CheckpointReader source(disk_, store(from).step_directory(kStep));
    CheckpointStore target = store(to);
    const auto spans = job::partition(source.manifest().run.model, stages, layers);
    return reshard(source, spans, disk_, target);
  }

  os::TemporaryDirectory directory_;
  os::PosixStorage disk_;
};

TEST_F(ReshardTest, EqualCutsHaveEqualIdsWhateverLayBetween) {
  for (const bool tied : {false, true}) {
    const std::string name = tied ? "tied" : "untied";
    CheckpointStore first = store(name + "1");
    const CheckpointId id = SampleCheckpoint(kStep, {.tied = tied}).save(first, {4});
    const CheckpointId in_four = cut(name + "1", name + "4", 4);
    EXPECT_NE(in_four, id);
    cut(name + "4", name + "3", 3);
    cut(name + "3", name + "2", 2);
    EXPECT_EQ(cut(name + "2", name + "1-again", 1), id);
    EXPECT_EQ(cut(name + "2", name + "4-again", 4), in_four);
    for (const char* cut_name : {"4", "3", "2", "1-again"}) {
      const auto found = verify_step(disk_, store(name + cut_name).step_directory(kStep),
                                     {.thoroughness = Thoroughness::data});
      EXPECT_TRUE(found.whole()) << cut_name;
    }
  }
}

TEST_F(ReshardTest, IsWhatASaveInThatCutWouldHaveWritten) {
  for (const bool tied : {false, true}) {
    const SampleCheckpoint sample(kStep, {.tied = tied});
    const std::string name = tied ? "tied" : "untied";
    CheckpointStore one = store(name);
    sample.save(one, {4});
    CheckpointStore direct = store(name + "-direct");
    EXPECT_EQ(cut(name, name + "-cut", 3, {1, 2, 1}), sample.save(direct, {1, 3, 4}));
  }
}

TEST_F(ReshardTest, FromCutsBetweenLayersToCutsInsideThemAndBackKeepsTheId) {
  for (const bool tied : {false, true}) {
    const std::string name = tied ? "tied" : "untied";
    const SampleCheckpoint sample(kStep, {.tied = tied, .tokenizer = "its bytes"});
    CheckpointStore one = store(name);
    const CheckpointId in_two = sample.save(one, {2, 4});
    const std::vector<job::StageLayers> inside{
        {false, 1, true}, {true, 0, false}, {false, 0, true}, {true, 1, false}};
    const CheckpointId in_four = cut(name, name + "-inside", 4, inside);
    const auto spans = job::partition(sample.run().model, 4, inside);
    CheckpointStore direct = store(name + "-direct");
    EXPECT_EQ(in_four, sample.save_cut(direct, spans)) << "what a save would have written";
    EXPECT_EQ(store(name + "-inside").read_manifest(kStep).weights_sha256,
              one.read_manifest(kStep).weights_sha256);
    const auto found = verify_step(disk_, store(name + "-inside").step_directory(kStep),
                                   {.thoroughness = Thoroughness::data});
    EXPECT_TRUE(found.whole());
    EXPECT_EQ(cut(name + "-inside", name + "-back", 2), in_two);
  }
}

// The ids are those that these checkpoints had before a cut could fall inside a layer.
TEST_F(ReshardTest, BetweenLayersEveryByteIsAsBefore) {
  CheckpointStore one = store("one");
  EXPECT_EQ(SampleCheckpoint(kStep).save(one, {2, 4}).hex(),
            "edde261e7ad98459c76e6416b53a486d61c05bfba2dfb4eaab321d68bc2796a8");
  CheckpointStore tied = store("tied");
  EXPECT_EQ(
      SampleCheckpoint(kStep, {.tied = true, .tokenizer = "its bytes"}).save(tied, {1, 4}).hex(),
      "3df2bf4bd58bbe252e9cd24e26e86bf64a1071237ac9533928f216f8c2e7c824");
}

TEST_F(ReshardTest, AModelWithoutMomentsHasNoOptimiserFiles) {
  CheckpointStore one = store("one");
  const SampleCheckpoint sample(kStep);
  StageState state = sample.stage(0, {4});
  state.optim.clear();
  const StageRecord record = one.write_stage(state);
  one.write_manifest(make_manifest({&record, 1}));
  cut("one", "two", 2);
  EXPECT_FALSE(store("two").read_manifest(kStep).stages[1].optim.has_value());
}

TEST_F(ReshardTest, NeverWritesOverACheckpoint) {
  CheckpointStore one = store("one");
  const CheckpointId id = SampleCheckpoint(kStep).save(one, {4});
  EXPECT_THAT(error_of([&] { cut("one", "one", 2); }, ErrorKind::usage),
              HasSubstr("is there already"));
  EXPECT_EQ(one.find("latest")->id, id);
}

TEST_F(ReshardTest, DamageInTheSourceIsNamedAndNothingIsComplete) {
  CheckpointStore one = store("one");
  SampleCheckpoint(kStep).save(one, {4});
  flip_bit(one.step_directory(kStep) / "stage-00.optim.safetensors", 20000);
  EXPECT_THAT(error_of([&] { cut("one", "two", 2); }),
              HasSubstr("stage-00.optim.safetensors: chunk 0"));
  EXPECT_FALSE(store("two").newest_complete().has_value());
}

TEST_F(ReshardTest, StoppingInTheMiddleLeavesNoTemporaryFileAndCanBeRepeated) {
  CheckpointStore one = store("one");
  const CheckpointId id = SampleCheckpoint(kStep).save(one, {4});
  struct Stop {};
  const CheckpointReader source(disk_, one.step_directory(kStep));
  CheckpointStore two = store("two");
  const auto spans = job::partition(source.manifest().run.model, 1, {});
  int calls = 0;
  EXPECT_THROW(reshard(source, spans, disk_, two,
                       [&](ByteCount) {
                         if (++calls == 60) throw Stop();
                       }),
               Stop);
  for (const std::string& name : disk_.list(two.step_directory(kStep))) {
    EXPECT_FALSE(name.starts_with(".")) << name;
  }
  EXPECT_EQ(reshard(source, spans, disk_, two), id);
}

TEST_F(ReshardTest, TensorsLargerThanABufferAreStreamed) {
  const SampleCheckpoint sample(kStep, {.hidden_size = 512});
  CheckpointStore one = store("one");
  sample.save(one, {2, 4});
  std::size_t largest = 0;
  const CheckpointReader source(disk_, one.step_directory(kStep));
  std::vector<std::byte> joined;
  const std::string name = "model.layers.3.mlp.up_proj.weight";
  source.stream(name, [&](std::span<const std::byte> piece) {
    largest = std::max(largest, piece.size());
    joined.insert(joined.end(), piece.begin(), piece.end());
  });
  EXPECT_EQ(joined, sample.tensors().at(name));
  EXPECT_EQ(largest, kPieceBytes);
  EXPECT_GT(joined.size(), kPieceBytes);
}

TEST(LayoutsOfCut, GiveEachStageItsParametersAndTheirMoments) {
  const SampleCheckpoint sample(kStep, {.tied = true});
  const auto cut = job::partition(sample.run().model, 2, {1, 3});
  std::vector<TensorInfo> moments;
  for (const auto& parameter : job::parameters(sample.run().model)) {
    moments.push_back({parameter.name + ".exp_avg", Dtype::f32, parameter.shape});
    moments.push_back({parameter.name + ".exp_avg_sq", Dtype::f32, parameter.shape});
  }
  const auto layouts = layouts_of_cut(sample.run(), cut, moments, std::nullopt);
  ASSERT_EQ(layouts.size(), 2u);
  EXPECT_EQ(layouts[1].model.back().name, "model.embed_tokens.weight");
  EXPECT_EQ(layouts[1].optim.back().name, "model.embed_tokens.weight.exp_avg_sq");
  for (const StageLayout& layout : layouts) {
    EXPECT_EQ(layout.optim.size(), 2 * layout.model.size());
    EXPECT_EQ(layout.stage_count, 2u);
  }
}

}  // namespace
}  // namespace ptrain::ckpt
