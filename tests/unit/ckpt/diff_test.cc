#include "libcommon/ckpt/diff.h"

#include <cstring>
#include <limits>
#include <map>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "libcommon/ckpt/store.h"
#include "tests/unit/ckpt/damage.h"
#include "tests/unit/ckpt/error_of.h"
#include "tests/unit/ckpt/sample_checkpoint.h"
#include "tests/unit/os/temporary_directory.h"

namespace ptrain::ckpt {
namespace {

using ::testing::HasSubstr;

constexpr Step kStep(10);
constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
constexpr float kInfinity = std::numeric_limits<float>::infinity();
const std::string kNorm = "model.norm.weight";

Difference difference(std::vector<float> left, std::vector<float> right) {
  Difference found;
  found.add(left, right);
  return found;
}

TEST(Difference, EqualNumbersDoNotDiffer) {
  const Difference found = difference({1, 0.0f, kNan, kInfinity}, {1, -0.0f, kNan, kInfinity});
  EXPECT_EQ(found.elements, 4u);
  EXPECT_EQ(found.different, 0u);
  EXPECT_TRUE(found.within(0));
}

TEST(Difference, KeepsTheLargestDistances) {
  const Difference found = difference({1, 100, 3, -2}, {1.5f, 101, 3, 2});
  EXPECT_EQ(found.different, 3u);
  EXPECT_EQ(found.largest_absolute, 4);
  EXPECT_EQ(found.largest_relative, 2);
  EXPECT_TRUE(found.within(4));
  EXPECT_FALSE(found.within(3.999));
}

TEST(Difference, NanAndInfinityOnOneSideAreBeyondEveryTolerance) {
  for (const auto& [left, right] : std::vector<std::pair<float, float>>{
           {kNan, 1}, {1, kNan}, {kInfinity, 1}, {kInfinity, -kInfinity}, {kNan, kInfinity}}) {
    const Difference found = difference({left}, {right});
    EXPECT_EQ(found.incomparable, 1u);
    EXPECT_EQ(found.largest_absolute, 0);
    EXPECT_FALSE(found.within(kInfinity));
  }
}

TEST(Difference, TheLargestFloatsDoNotOverflow) {
  const float most = std::numeric_limits<float>::max();
  const Difference found = difference({most}, {-most});
  EXPECT_EQ(found.incomparable, 0u);
  EXPECT_EQ(found.largest_absolute, 2 * static_cast<double>(most));
}

class DiffTest : public ::testing::Test {
 protected:
  CheckpointStore store(const std::string& name) {
    return {disk_, directory_.path() / name, "test"};
  }
  CheckpointReader open(const std::string& name) {
    return CheckpointReader(disk_, store(name).step_directory(kStep));
  }
  // By name, those that are not equal.
  std::map<std::string, TensorComparison> unequal(
      const std::string& left, const std::string& right,
      DiffScope scope = DiffScope::weights_and_moments) {
    std::map<std::string, TensorComparison> found;
    diff(open(left), open(right), scope, [&](const TensorComparison& tensor) {
      ++compared_;
      if (tensor.result != Comparison::equal) found[tensor.name] = tensor;
    });
    return found;
  }
  // A checkpoint of one stage whose final norm is these numbers.
  void save_with_norm(const std::string& name, std::vector<float> norm) {
    const SampleCheckpoint sample(kStep);
    StageState state = sample.stage(0, {4});
    for (TensorView& tensor : state.model) {
      if (tensor.info.name == kNorm) tensor.bytes = std::as_bytes(std::span(norm));
    }
    CheckpointStore target = store(name);
    const StageRecord record = target.write_stage(state);
    target.write_manifest(make_manifest({&record, 1}));
  }

  os::TemporaryDirectory directory_;
  os::PosixStorage disk_;
  std::size_t compared_ = 0;
};

TEST_F(DiffTest, TheSameStateInTwoCutsIsEqualWithoutReadingIt) {
  const SampleCheckpoint sample(kStep, {.tied = true});
  CheckpointStore one = store("one");
  CheckpointStore three = store("three");
  sample.save(one, {4});
  sample.save(three, {1, 2, 4});
  flip_bit(three.step_directory(kStep) / "stage-01.optim.safetensors", 6000);
  EXPECT_TRUE(unequal("one", "three").empty());
  EXPECT_EQ(compared_, sample.tensors().size());
}

TEST_F(DiffTest, ATensorThatDiffersIsMeasured) {
  save_with_norm("one", {1, 2, 3, 4, 5, 6, 7, 8});
  save_with_norm("two", {1, 2, 3, 4.5f, 5, 6, 7, 9});
  const auto found = unequal("one", "two");
  ASSERT_EQ(found.size(), 1u);
  const TensorComparison& norm = found.at(kNorm);
  ASSERT_EQ(norm.result, Comparison::compared);
  EXPECT_EQ(norm.difference->different, 2u);
  EXPECT_EQ(norm.difference->largest_absolute, 1);
  EXPECT_NEAR(norm.difference->largest_relative, 1.0 / 9, 1e-12);
  EXPECT_FALSE(norm.same(std::nullopt));
  EXPECT_FALSE(norm.same(0.99));
  EXPECT_TRUE(norm.same(1.0));
}

TEST_F(DiffTest, EqualNumbersInOtherBitsAreTheSameForATolerance) {
  save_with_norm("one", {0.0f, 2, 3, 4, 5, 6, 7, 8});
  save_with_norm("two", {-0.0f, 2, 3, 4, 5, 6, 7, 8});
  const auto found = unequal("one", "two");
  EXPECT_FALSE(found.at(kNorm).same(std::nullopt));
  EXPECT_TRUE(found.at(kNorm).same(0.0));
}

TEST_F(DiffTest, TensorsOfOneSideAndOtherShapesAreNamed) {
  CheckpointStore one = store("one");
  CheckpointStore two = store("two");
  SampleCheckpoint(kStep).save(one, {4});
  SampleCheckpoint(kStep, {.tied = true}).save(two, {4});
  auto found = unequal("one", "two");
  EXPECT_EQ(found.at("lm_head.weight").result, Comparison::only_left);
  EXPECT_FALSE(found.at("lm_head.weight").same(1e9));
  found = unequal("two", "one");
  EXPECT_EQ(found.at("lm_head.weight").result, Comparison::only_right);
  CheckpointStore three = store("three");
  SampleCheckpoint(kStep, {.hidden_size = 16}).save(three, {4});
  EXPECT_EQ(unequal("one", "three").at(kNorm).result, Comparison::other_form);
}

TEST_F(DiffTest, WeightsAloneAreComparedWhenAsked) {
  const SampleCheckpoint sample(kStep);
  CheckpointStore one = store("one");
  sample.save(one, {2, 4});
  CheckpointStore two = store("two");
  StageState state = sample.stage(0, {4});
  state.optim.clear();
  const StageRecord record = two.write_stage(state);
  two.write_manifest(make_manifest({&record, 1}));
  EXPECT_TRUE(unequal("one", "two", DiffScope::weights).empty());
  EXPECT_EQ(compared_, job::parameters(sample.run().model).size());
  EXPECT_EQ(unequal("one", "two").size(), 2 * job::parameters(sample.run().model).size());
}

TEST_F(DiffTest, DamageOnEitherSideIsNotTakenForADifference) {
  CheckpointStore one = store("one");
  CheckpointStore two = store("two");
  SampleCheckpoint(kStep).save(one, {4});
  SampleCheckpoint(kStep, {.seed = 2}).save(two, {4});
  for (const char* damaged : {"one", "two"}) {
    const auto file = store(damaged).step_directory(kStep) / "stage-00.model.safetensors";
    flip_bit(file, 5000);
    EXPECT_THAT(error_of([&] { unequal("one", "two"); }),
                HasSubstr("stage-00.model.safetensors: chunk 0"));
    flip_bit(file, 5000);
  }
}

TEST_F(DiffTest, TensorsOfSeveralPiecesAreReadSideBySide) {
  CheckpointStore one = store("one");
  CheckpointStore two = store("two");
  SampleCheckpoint(kStep, {.hidden_size = 512}).save(one, {4});
  SampleCheckpoint(kStep, {.seed = 2, .hidden_size = 512}).save(two, {2, 4});
  const auto found = unequal("one", "two", DiffScope::weights);
  const Difference& large = *found.at("model.layers.0.mlp.up_proj.weight").difference;
  EXPECT_EQ(large.elements, 1024u * 512u);
  EXPECT_GT(large.different, large.elements / 2);
}

}  // namespace
}  // namespace ptrain::ckpt
