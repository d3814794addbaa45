#include "libcommon/ckpt/store.h"

#include <chrono>
#include <filesystem>
#include <fstream>
#include <map>
#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "libcommon/ckpt/checkpoint_reader.h"
#include "libcommon/ckpt/retention.h"
#include "libcommon/os/read_file.h"
#include "tests/unit/ckpt/error_of.h"
#include "tests/unit/ckpt/sample_checkpoint.h"
#include "tests/unit/os/faulty_storage.h"
#include "tests/unit/os/temporary_directory.h"

namespace ptrain::ckpt {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

class StoreTest : public ::testing::Test {
 protected:
  std::filesystem::path file(Step step, const std::string& name) {
    return store_.step_directory(step) / name;
  }
  StepInfo info(Step step) { return store_.inspect(step).value(); }
  void append_to(const std::filesystem::path& path, const std::string& text) {
    std::ofstream(path, std::ios::app | std::ios::binary) << text;
  }

  os::TemporaryDirectory directory_;
  os::PosixStorage disk_;
  CheckpointStore store_{disk_, directory_.path() / "ckpt", "test"};
};

TEST(StepName, ReadsBackAndNothingElseDoes) {
  EXPECT_EQ(step_name(Step(1200)), "step-00001200");
  EXPECT_EQ(step_name(Step(123456789)), "step-123456789");
  EXPECT_EQ(step_from_name("step-00001200"), Step(1200));
  EXPECT_EQ(step_from_name("step-123456789"), Step(123456789));
  for (const char* name : {"step-1200", "step-0123456789", "step-", "step-0000120x", "00001200",
                           "step--0000120", "step-99999999999999999999"}) {
    EXPECT_EQ(step_from_name(name), std::nullopt) << name;
  }
}

TEST_F(StoreTest, AnEmptyOrMissingDirectoryHoldsNothing) {
  EXPECT_THAT(store_.list(), IsEmpty());
  EXPECT_FALSE(store_.newest_complete().has_value());
  EXPECT_FALSE(store_.find("latest").has_value());
  EXPECT_FALSE(store_.holds(Step(1), StageIndex(0)));
}

TEST_F(StoreTest, ASavedStepIsCompleteAndHasTheManifestsId) {
  const CheckpointId id = SampleCheckpoint(Step(10)).save(store_, {2, 4});
  const StepInfo saved = info(Step(10));
  EXPECT_EQ(saved.state, StepState::complete) << saved.reason;
  EXPECT_EQ(saved.id, id);
  EXPECT_EQ(id.digest, sha256(os::read_file(disk_, file(Step(10), "manifest.json"), 1 << 20)));
  EXPECT_THAT(saved.held, ElementsAre(StageIndex(0), StageIndex(1)));
  EXPECT_THAT(
      disk_.list(store_.step_directory(Step(10))),
      ElementsAre("manifest.json", "stage-00.model.safetensors", "stage-00.optim.safetensors",
                  "stage-00.record.json", "stage-01.model.safetensors",
                  "stage-01.optim.safetensors", "stage-01.record.json"));
}

TEST_F(StoreTest, TheSameStateGivesTheSameIdInAnotherDirectory) {
  CheckpointStore other(disk_, directory_.path() / "other", "x");
  EXPECT_EQ(SampleCheckpoint(Step(10)).save(store_, {2, 4}),
            SampleCheckpoint(Step(10)).save(other, {2, 4}));
}

TEST_F(StoreTest, TheRecordHoldsTheHashesOfWhatLiesOnDisk) {
  const SampleCheckpoint sample(Step(10), {.hidden_size = 512});  // some chunks long
  const StageRecord record = store_.write_stage(sample.stage(0, {4}));
  EXPECT_EQ(store_.read_record(Step(10), StageIndex(0)), record);
  const std::string bytes =
      os::read_file(disk_, file(Step(10), "stage-00.optim.safetensors"), 1 << 30);
  EXPECT_EQ(record.optim->file.bytes, ByteCount(bytes.size()));
  EXPECT_EQ(record.optim->file.sha256, sha256(bytes));
  ASSERT_GT(record.optim->chunk_sha256.size(), 2u);
  for (std::size_t i = 0; i < record.optim->chunk_sha256.size(); ++i) {
    EXPECT_EQ(record.optim->chunk_sha256[i],
              sha256(std::string_view(bytes).substr(i * kChunkBytes, kChunkBytes)));
  }
  for (const TensorRecord& tensor : record.optim->tensors) {
    EXPECT_EQ(tensor.sha256, sha256(sample.tensors().at(tensor.info.name)));
  }
}

TEST_F(StoreTest, DataAreDurableBeforeTheRecordAndRecordsBeforeTheManifest) {
  os::FaultyStorage storage(disk_);
  CheckpointStore store(storage, directory_.path() / "ckpt", "s");
  SampleCheckpoint(Step(10)).save(store, {4});
  std::vector<std::string> order;
  for (const std::string& entry : storage.log()) {
    if (!entry.starts_with("append") && !entry.starts_with("create")) order.push_back(entry);
  }
  const std::string root = directory_.path().filename().string();
  EXPECT_THAT(
      order,
      ElementsAre("sync-directory " + root, "sync-directory ckpt",  // made on the way
                  "sync .tmp-s.stage-00.model.safetensors", "rename stage-00.model.safetensors",
                  "sync-directory step-00000010", "sync .tmp-s.stage-00.optim.safetensors",
                  "rename stage-00.optim.safetensors", "sync-directory step-00000010",
                  "sync .tmp-s.stage-00.record.json", "rename stage-00.record.json",
                  "sync-directory step-00000010",  //
                  "sync-directory ckpt",           // the manifest's writer may be another
                  "sync .tmp-s.manifest.json", "rename manifest.json",
                  "sync-directory step-00000010"));
}

// A step that was moved to a larger disk.
class LinkedStepTest : public StoreTest {
 protected:
  LinkedStepTest() {
    id_ = SampleCheckpoint(Step(10)).save(store_, {4});
    std::filesystem::rename(store_.step_directory(Step(10)), elsewhere_);
    std::filesystem::create_symlink(elsewhere_, store_.step_directory(Step(10)));
    before_ = contents();
  }
  // Of the folder behind the link: names and bytes.
  std::map<std::string, std::string> contents() {
    std::map<std::string, std::string> files;
    for (const std::string& name : disk_.list(elsewhere_)) {
      files[name] = os::read_file(disk_, elsewhere_ / name, 1 << 30);
    }
    return files;
  }

  const std::filesystem::path elsewhere_ = directory_.path() / "larger";
  CheckpointId id_;
  std::map<std::string, std::string> before_;
};

TEST_F(LinkedStepTest, IsListedAndReadAsBefore) {
  const StepInfo linked = info(Step(10));
  EXPECT_TRUE(linked.linked);
  EXPECT_EQ(linked.state, StepState::complete) << linked.reason;
  EXPECT_EQ(linked.id, id_);
  ASSERT_EQ(store_.list().size(), 1u);
  EXPECT_EQ(store_.find("latest")->step, Step(10));
  EXPECT_TRUE(store_.holds(Step(10), StageIndex(0)));
  EXPECT_EQ(CheckpointReader(disk_, store_.step_directory(Step(10))).id(), id_);
}

TEST_F(LinkedStepTest, NothingIsWrittenOrRemovedThroughIt) {
  const Manifest manifest = store_.read_manifest(Step(10));
  const SampleCheckpoint other(Step(10), {.seed = 2});
  const auto refusal = [&](auto action) { return error_of(action, ErrorKind::usage); };
  EXPECT_THAT(refusal([&] { other.save(store_, {4}); }), HasSubstr("is a symbolic link"));
  EXPECT_THAT(refusal([&] { store_.write_manifest(manifest); }), HasSubstr("is a symbolic link"));
  EXPECT_THAT(refusal([&] { store_.remove_step(Step(10)); }), HasSubstr("is a symbolic link"));
  EXPECT_EQ(contents(), before_);
  EXPECT_TRUE(std::filesystem::is_symlink(store_.step_directory(Step(10))));
}

TEST_F(LinkedStepTest, IsNotRemovedToMakeRoom) {
  SampleCheckpoint(Step(20)).save(store_, {4});
  const auto steps = store_.list();
  const auto plan = plan_retention(steps, Step(20), {}, std::chrono::system_clock::now());
  ASSERT_EQ(plan.size(), 2u);
  EXPECT_TRUE(plan[0].keep);
  EXPECT_THAT(plan[0].reason, HasSubstr("a symbolic link"));
}

TEST_F(StoreTest, ALinkThatLeadsNowhereIsNoStepAndIsNotWrittenThrough) {
  std::filesystem::create_directory(store_.directory());
  std::filesystem::create_symlink("nowhere", store_.step_directory(Step(10)));
  EXPECT_THAT(store_.list(), IsEmpty());
  EXPECT_THAT(error_of([&] { SampleCheckpoint(Step(10)).save(store_, {4}); }, ErrorKind::usage),
              HasSubstr("is a symbolic link"));
}

TEST_F(StoreTest, ADirectoryOfCheckpointsMayBeALink) {
  std::filesystem::create_directory(directory_.path() / "larger");
  std::filesystem::create_symlink("larger", store_.directory());
  SampleCheckpoint(Step(10)).save(store_, {4});
  EXPECT_EQ(info(Step(10)).state, StepState::complete);
  EXPECT_FALSE(info(Step(10)).linked);
  EXPECT_TRUE(store_.remove_step(Step(10)));
}

TEST_F(StoreTest, RemovalTakesTheManifestFirst) {
  SampleCheckpoint(Step(10)).save(store_, {4});
  os::FaultyStorage storage(disk_);
  CheckpointStore store(storage, directory_.path() / "ckpt", "s");
  EXPECT_TRUE(store.remove_step(Step(10)));
  ASSERT_GE(storage.log().size(), 3u);
  EXPECT_EQ(storage.log()[0], "remove manifest.json");
  EXPECT_EQ(storage.log()[1], "sync-directory step-00000010");
  EXPECT_EQ(storage.log().back(), "sync-directory ckpt");
  EXPECT_THAT(store_.list(), IsEmpty());
  EXPECT_FALSE(store_.remove_step(Step(10)));
}

TEST_F(StoreTest, RemovalTouchesNothingWhereADirectoryLiesInTheStep) {
  SampleCheckpoint(Step(10)).save(store_, {4});
  std::filesystem::create_directory(file(Step(10), "precious"));
  EXPECT_THAT(error_of([&] { store_.remove_step(Step(10)); }), HasSubstr("precious: a directory"));
  EXPECT_EQ(info(Step(10)).state, StepState::complete);
}

TEST_F(StoreTest, WithoutAManifestAStepIsPartial) {
  store_.write_stage(SampleCheckpoint(Step(10)).stage(0, {2, 4}));
  const StepInfo partial = info(Step(10));
  EXPECT_EQ(partial.state, StepState::partial);
  EXPECT_THAT(partial.reason, HasSubstr("no manifest.json"));
  EXPECT_FALSE(partial.id.has_value());
  EXPECT_FALSE(store_.holds(Step(10), StageIndex(0)));
}

TEST_F(StoreTest, AHostWithItsOwnStageHoldsThatStageOfAPartialStep) {
  const SampleCheckpoint sample(Step(10));
  CheckpointStore elsewhere(disk_, directory_.path() / "elsewhere", "stage-01");
  const std::vector<StageRecord> records = {store_.write_stage(sample.stage(0, {2, 4})),
                                            elsewhere.write_stage(sample.stage(1, {2, 4}))};
  const Manifest manifest = make_manifest(records);
  EXPECT_EQ(store_.write_manifest(manifest), elsewhere.write_manifest(manifest));
  EXPECT_EQ(info(Step(10)).state, StepState::partial);
  EXPECT_THAT(info(Step(10)).reason, HasSubstr("stage-01"));
  EXPECT_TRUE(store_.holds(Step(10), StageIndex(0)));
  EXPECT_FALSE(store_.holds(Step(10), StageIndex(1)));
  EXPECT_TRUE(elsewhere.holds(Step(10), StageIndex(1)));
}

TEST_F(StoreTest, AFileThatIsMissingShortOrNoFileIsSaidSo) {
  SampleCheckpoint(Step(10)).save(store_, {2, 4});
  const auto path = file(Step(10), "stage-01.model.safetensors");
  append_to(path, "x");
  EXPECT_EQ(info(Step(10)).state, StepState::corrupt);
  EXPECT_THAT(info(Step(10)).reason, HasSubstr("the manifest says"));
  EXPECT_THAT(info(Step(10)).held, ElementsAre(StageIndex(0)));
  std::filesystem::remove(path);
  EXPECT_EQ(info(Step(10)).state, StepState::partial);
  EXPECT_THAT(info(Step(10)).reason, HasSubstr("stage-01.model.safetensors is not here"));
  std::filesystem::create_symlink(file(Step(10), "stage-00.model.safetensors"), path);
  EXPECT_EQ(info(Step(10)).state, StepState::corrupt);
  EXPECT_THAT(info(Step(10)).reason, HasSubstr("not a regular file"));
}

TEST_F(StoreTest, AManifestThatDoesNotCheckMakesTheStepCorrupt) {
  SampleCheckpoint(Step(10)).save(store_, {4});
  SampleCheckpoint(Step(20)).save(store_, {4});
  std::filesystem::copy_file(file(Step(10), "manifest.json"), file(Step(20), "manifest.json"),
                             std::filesystem::copy_options::overwrite_existing);
  EXPECT_EQ(info(Step(20)).state, StepState::corrupt);
  EXPECT_THAT(info(Step(20)).reason, HasSubstr("is the manifest of step 10"));
  append_to(file(Step(10), "manifest.json"), " ");
  EXPECT_EQ(info(Step(10)).state, StepState::corrupt);
  EXPECT_FALSE(store_.newest_complete().has_value());
}

TEST_F(StoreTest, ListIsAscendingAndPassesOverWhatIsNoStep) {
  SampleCheckpoint(Step(200000000)).save(store_, {4});
  SampleCheckpoint(Step(30)).save(store_, {4});
  std::filesystem::create_directory(directory_.path() / "ckpt" / "notes");
  append_to(directory_.path() / "ckpt" / "step-00000007", "a file, not a step");
  const auto list = store_.list();
  ASSERT_EQ(list.size(), 2u);
  EXPECT_EQ(list[0].step, Step(30));
  EXPECT_EQ(list[1].step, Step(200000000));
}

TEST_F(StoreTest, LatestIsTheNewestThatIsComplete) {
  SampleCheckpoint(Step(10)).save(store_, {4});
  SampleCheckpoint(Step(20)).save(store_, {4});
  store_.write_stage(SampleCheckpoint(Step(30)).stage(0, {4}));
  EXPECT_EQ(store_.find("latest")->step, Step(20));
}

TEST_F(StoreTest, ACheckpointIsFoundByStepFolderOrId) {
  const CheckpointId id = SampleCheckpoint(Step(10)).save(store_, {4});
  SampleCheckpoint(Step(20)).save(store_, {4});
  EXPECT_EQ(store_.find("10")->id, id);
  EXPECT_EQ(store_.find("step-00000010")->id, id);
  EXPECT_EQ(store_.find(id.hex())->step, Step(10));
  EXPECT_EQ(store_.find(id.hex().substr(0, CheckpointStore::kMinIdPrefix))->step, Step(10));
  EXPECT_FALSE(store_.find(id.hex().substr(0, CheckpointStore::kMinIdPrefix - 1)).has_value());
  EXPECT_FALSE(store_.find("11").has_value());
  EXPECT_FALSE(store_.find("").has_value());
}

TEST(MatchId, APrefixFitsOneIdOrIsRefused) {
  std::vector<StepInfo> steps(3);
  steps[0].id = CheckpointId{};
  steps[1].id = CheckpointId{};
  steps[1].id->digest[1] = std::byte(0xab);  // steps[2] has none
  EXPECT_EQ(match_id(steps, "00ab"), &steps[1]);
  EXPECT_EQ(match_id(steps, "01"), nullptr);
  EXPECT_THAT(error_of([&] { match_id(steps, "00"); }, ErrorKind::usage),
              HasSubstr("00 fits checkpoints 0000"));
}

TEST_F(StoreTest, SavingAStepAgainWithTheSameBytesNeverMakesItIncomplete) {
  const SampleCheckpoint sample(Step(10));
  const CheckpointId id = sample.save(store_, {2, 4});
  store_.write_stage(sample.stage(1, {2, 4}));  // a replaced stage that has caught up
  EXPECT_EQ(info(Step(10)).state, StepState::complete);
  EXPECT_EQ(info(Step(10)).id, id);
}

TEST_F(StoreTest, SavingAStepAgainRepairsADamagedFile) {
  const SampleCheckpoint sample(Step(10));
  sample.save(store_, {4});
  append_to(file(Step(10), "stage-00.model.safetensors"), "x");
  store_.write_stage(sample.stage(0, {4}));
  EXPECT_EQ(info(Step(10)).state, StepState::complete);
}

TEST_F(StoreTest, SavingAStepAgainWithOtherBytesWithdrawsTheManifestFirst) {
  SampleCheckpoint(Step(10)).save(store_, {2, 4});
  store_.write_stage(SampleCheckpoint(Step(10), {.seed = 2}).stage(1, {2, 4}));
  EXPECT_EQ(info(Step(10)).state, StepState::partial);
  EXPECT_THAT(info(Step(10)).reason, HasSubstr("no manifest.json"));
}

TEST_F(StoreTest, ClearsItsOwnLeftoversAndNobodyElses) {
  store_.write_stage(SampleCheckpoint(Step(10)).stage(0, {2, 4}));
  append_to(file(Step(10), ".tmp-test.stage-00.model.safetensors"), "torn");
  append_to(file(Step(10), ".tmp-test.manifest.json"), "torn");
  append_to(file(Step(10), ".tmp-test-2.manifest.json"), "being written");
  store_.write_stage(SampleCheckpoint(Step(10)).stage(0, {2, 4}));
  EXPECT_FALSE(disk_.status(file(Step(10), ".tmp-test.stage-00.model.safetensors")).has_value());
  EXPECT_FALSE(disk_.status(file(Step(10), ".tmp-test.manifest.json")).has_value());
  EXPECT_TRUE(disk_.status(file(Step(10), ".tmp-test-2.manifest.json")).has_value());
}

TEST_F(StoreTest, ASaveForWhichThereIsNoRoomLeavesNothingOfItsStep) {
  SampleCheckpoint(Step(10)).save(store_, {4});
  std::size_t failures = 0;
  for (std::size_t i = 0;; ++i) {
    os::FaultyStorage full(disk_, i);
    CheckpointStore store(full, store_.directory(), "test");
    try {
      store.write_stage(SampleCheckpoint(Step(20)).stage(0, {4}));
      break;
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::io);
    }
    const std::string failed = full.log()[i];
    ++failures;
    // Once a file has its name, only an fsync of the folder can fail, which a full disk does not.
    if (!failed.starts_with("sync-directory")) {
      EXPECT_FALSE(disk_.status(store_.step_directory(Step(20)))) << failed;
    }
    store_.discard(Step(20), StageIndex(0));
    EXPECT_FALSE(disk_.status(store_.step_directory(Step(20)))) << failed;
  }
  EXPECT_GT(failures, 10u);
  EXPECT_EQ(info(Step(10)).state, StepState::complete);
}

TEST_F(StoreTest, DiscardTouchesNoStepThatExistsAndNoOtherStagesFiles) {
  SampleCheckpoint(Step(10)).save(store_, {2, 4});
  store_.discard(Step(10), StageIndex(0));
  EXPECT_EQ(info(Step(10)).state, StepState::complete);
  store_.write_stage(SampleCheckpoint(Step(20)).stage(0, {2, 4}));
  store_.write_stage(SampleCheckpoint(Step(20)).stage(1, {2, 4}));
  store_.discard(Step(20), StageIndex(0));
  EXPECT_THAT(disk_.list(store_.step_directory(Step(20))),
              ElementsAre("stage-01.model.safetensors", "stage-01.optim.safetensors",
                          "stage-01.record.json"));
  store_.discard(Step(30), StageIndex(0));  // was never begun
}

TEST_F(StoreTest, AManifestIsNotWrittenOverAFileOfAnotherSize) {
  const SampleCheckpoint sample(Step(10));
  const StageRecord record = store_.write_stage(sample.stage(0, {4}));
  append_to(file(Step(10), "stage-00.model.safetensors"), "x");
  EXPECT_THAT(error_of([&] { store_.write_manifest(make_manifest(std::vector{record})); }),
              HasSubstr("the manifest says"));
}

TEST_F(StoreTest, StatesThatNoCheckpointMayHoldAreRefusedBeforeTheirRecordIsWritten) {
  const SampleCheckpoint sample(Step(10));
  StageState state = sample.stage(0, {2, 4});
  state.model[0].bytes = state.model[0].bytes.first(4);
  EXPECT_THAT(error_of([&] { store_.write_stage(state); }, ErrorKind::internal),
              HasSubstr("comes with 4 bytes"));
  state = sample.stage(0, {2, 4});
  std::swap(state.model[1], state.model[2]);
  error_of([&] { store_.write_stage(state); });
  EXPECT_FALSE(disk_.status(file(Step(10), "stage-00.record.json")).has_value());
}

TEST_F(StoreTest, AWritersNameIsAPlainWord) {
  for (const char* name : {"", "a.b", "a/b", ".."}) {
    error_of([&] { CheckpointStore(disk_, directory_.path(), name); }, ErrorKind::internal);
  }
}

}  // namespace
}  // namespace ptrain::ckpt
