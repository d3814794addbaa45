#include "libcommon/ckpt/seal.h"

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

class SealTest : public ::testing::Test {
 protected:
  void write_stages(const SampleCheckpoint& sample) {
    for (const std::uint32_t stage : {0, 1}) store_.write_stage(sample.stage(stage, {2, 4}));
  }
  std::filesystem::path file(const std::string& name) {
    return store_.step_directory(kStep) / name;
  }
  Sealed seal() { return seal_step(disk_, store_, kStep); }
  // Why sealing is refused; nothing may be complete after it.
  std::string refusal() {
    std::string what = error_of([&] { seal(); });
    EXPECT_NE(store_.inspect(kStep)->state, StepState::complete);
    return what;
  }

  os::TemporaryDirectory directory_;
  os::PosixStorage disk_;
  CheckpointStore store_{disk_, directory_.path(), "test"};
};

TEST_F(SealTest, GivesTheIdThatTheSaveWouldHaveGiven) {
  const SampleCheckpoint sample(kStep);
  const CheckpointId id = sample.save(store_, {2, 4});
  std::filesystem::remove(file("manifest.json"));
  const Sealed sealed = seal();
  EXPECT_EQ(sealed.id, id);
  EXPECT_FALSE(sealed.was_sealed);
  EXPECT_EQ(store_.inspect(kStep)->state, StepState::complete);
  EXPECT_TRUE(seal().was_sealed);
}

TEST_F(SealTest, ReplacesAManifestThatDoesNotParse) {
  const CheckpointId id = SampleCheckpoint(kStep).save(store_, {2, 4});
  write_text(file("manifest.json"), "{");
  EXPECT_EQ(seal().id, id);
}

TEST_F(SealTest, RefusesAStageThatIsMissing) {
  store_.write_stage(SampleCheckpoint(kStep).stage(0, {2, 4}));
  EXPECT_THAT(refusal(), HasSubstr("stage-01.record.json is missing"));
}

TEST_F(SealTest, RefusesAFolderWithoutRecords) {
  std::filesystem::create_directory(store_.step_directory(kStep));
  EXPECT_THAT(refusal(), HasSubstr("there are none"));
}

TEST_F(SealTest, NamesTheFieldInWhichRecordsDisagreeAndBothValues) {
  const SampleCheckpoint sample(kStep);
  write_stages(sample);
  StageState other = sample.stage(1, {2, 4});
  other.run.cursor = 161;
  store_.write_stage(other);
  EXPECT_THAT(refusal(), AllOf(HasSubstr("cursor is 161 and 160"), HasSubstr("stage-01.record")));
  other.run.cursor = 160;
  other.run.model.rms_norm_eps = 0.5;
  store_.write_stage(other);
  EXPECT_THAT(refusal(), HasSubstr("model.rms_norm_eps is 0.5 and 1e-05"));
  other.run.model = sample.run().model;
  other.run.job = R"({"job":"another"})";
  store_.write_stage(other);
  EXPECT_THAT(refusal(), HasSubstr("job.job is \"another\" and \"sample\""));
}

TEST_F(SealTest, RefusesRecordsThatAnotherCutLeft) {
  const SampleCheckpoint sample(kStep);
  write_stages(sample);
  store_.write_stage(sample.stage(2, {1, 2, 4}));
  EXPECT_THAT(refusal(), HasSubstr("of 3 stages"));
}

TEST_F(SealTest, RefusesDamagedData) {
  write_stages(SampleCheckpoint(kStep));
  flip_bit(file("stage-01.optim.safetensors"), 9000);
  EXPECT_THAT(refusal(), HasSubstr("stage-01.optim.safetensors: chunk 0"));
}

TEST_F(SealTest, RefusesWhenAFileIsNotHere) {
  write_stages(SampleCheckpoint(kStep));
  std::filesystem::remove(file("stage-00.model.safetensors"));
  EXPECT_THAT(refusal(), HasSubstr("stage-00.model.safetensors is not here"));
}

TEST_F(SealTest, DoesNotReplaceAValidManifestThatSaysSomethingElse) {
  const SampleCheckpoint one(kStep);
  const SampleCheckpoint other(kStep, {.seed = 2});
  const CheckpointId id = one.save(store_, {2, 4});
  CheckpointStore elsewhere(disk_, directory_.path() / "other", "test");
  other.save(elsewhere, {2, 4});
  for (const char* name : {"stage-00.record.json", "stage-01.record.json"}) {
    std::filesystem::copy_file(elsewhere.step_directory(kStep) / name, file(name),
                               std::filesystem::copy_options::overwrite_existing);
  }
  EXPECT_THAT(error_of([&] { seal(); }), HasSubstr(id.hex()));
  EXPECT_EQ(checkpoint_id(store_.read_manifest(kStep)), id);
}

}  // namespace
}  // namespace ptrain::ckpt
