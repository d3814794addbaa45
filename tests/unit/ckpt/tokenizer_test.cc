// A run's SentencePiece model in its checkpoints.

#include <fstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "libcommon/ckpt/checkpoint_reader.h"
#include "libcommon/ckpt/merge.h"
#include "libcommon/ckpt/reshard.h"
#include "libcommon/ckpt/seal.h"
#include "libcommon/ckpt/tokenizer_file.h"
#include "libcommon/ckpt/verify.h"
#include "libcommon/job/partition.h"
#include "tests/unit/ckpt/damage.h"
#include "tests/unit/ckpt/error_of.h"
#include "tests/unit/ckpt/sample_checkpoint.h"
#include "tests/unit/os/temporary_directory.h"

namespace ptrain::ckpt {
namespace {

namespace fs = std::filesystem;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr Step kStep(10);
constexpr const char* kFile = "stage-00.tokenizer.model";
const std::string kPieces = "the pieces of a model";
const std::vector<std::int64_t> kCut = {2, 4};

class TokenizerTest : public ::testing::Test {
 protected:
  CheckpointStore store(const std::string& name) { return {disk_, root(name), "test"}; }
  fs::path root(const std::string& name) { return directory_.path() / name; }
  fs::path folder(const std::string& name) { return store(name).step_directory(kStep); }
  CheckpointId save(const std::string& name, const std::string& tokenizer = kPieces) {
    CheckpointStore target = store(name);
    return SampleCheckpoint(kStep, {.tokenizer = tokenizer}).save(target, kCut);
  }
  std::string tokenizer_of(const std::string& name) {
    return CheckpointReader(disk_, folder(name)).tokenizer()->bytes;
  }
  Verification verify(const std::string& name) {
    return verify_step(disk_, folder(name), {.thoroughness = Thoroughness::data});
  }

  os::TemporaryDirectory directory_;
  os::PosixStorage disk_;
};

TEST_F(TokenizerTest, LiesBesideTheEmbeddingAndIsReadBack) {
  save("a");
  const auto read = CheckpointReader(disk_, folder("a")).tokenizer();
  ASSERT_TRUE(read);
  EXPECT_EQ(read->path, folder("a") / kFile);
  EXPECT_EQ(read->sha256, sha256(kPieces));
  EXPECT_EQ(read->bytes, kPieces);
  EXPECT_FALSE(fs::exists(folder("a") / "stage-01.tokenizer.model"));
  EXPECT_TRUE(verify("a").whole());
}

TEST_F(TokenizerTest, ACheckpointWithoutOneIsWrittenAsVersion1) {
  save("a", "");
  EXPECT_FALSE(CheckpointReader(disk_, folder("a")).tokenizer());
  for (const char* name : {"manifest.json", "stage-00.record.json", "stage-01.record.json"}) {
    std::ifstream file(folder("a") / name);
    const auto value = nlohmann::json::parse(file);
    EXPECT_EQ(value["version"], 1);
    EXPECT_EQ(value.dump().find("tokenizer"), std::string::npos);
  }
}

TEST_F(TokenizerTest, OnlyWhatNamesItIsVersion2AndNothingElseMayBe) {
  save("a");
  const Manifest manifest = store("a").read_manifest(kStep);
  auto value = nlohmann::json::parse(canonical_json(manifest));
  EXPECT_EQ(value["version"], 2);
  EXPECT_EQ(parse_manifest(canonical_json(manifest), "m"), manifest);
  value["version"] = 1;
  EXPECT_THAT(error_of([&] { parse_manifest(value.dump(), "m"); }), HasSubstr("canonical"));
  value["version"] = 3;
  EXPECT_THAT(error_of([&] { parse_manifest(value.dump(), "m"); }), HasSubstr("version"));
  value["version"] = 2;
  value["stages"][0].erase("tokenizer");
  EXPECT_THAT(error_of([&] { parse_manifest(value.dump(), "m"); }), HasSubstr("canonical"));
  value["stages"][1]["tokenizer"] = value["stages"][1]["model"];
  EXPECT_THAT(error_of([&] { parse_manifest(value.dump(), "m"); }), HasSubstr("tokenizer"));
}

TEST_F(TokenizerTest, ARecordOfOneThatIsTooLargeOrEmptyIsRefused) {
  save("a");
  const StageRecord record = store("a").read_record(kStep, StageIndex(0));
  EXPECT_EQ(parse_record(canonical_json(record), "r"), record);
  for (const std::uint64_t bytes : {std::uint64_t{0}, std::uint64_t{kMaxTokenizerBytes} + 1}) {
    StageRecord wrong = record;
    wrong.tokenizer->file.bytes = ByteCount(bytes);
    EXPECT_THAT(error_of([&] { parse_record(canonical_json(wrong), "r"); }),
                HasSubstr("a tokenizer has 1 to"));
  }
}

TEST_F(TokenizerTest, TheIdVouchesForIt) {
  EXPECT_NE(save("a"), save("b", "another one"));
  EXPECT_NE(save("a"), save("c", ""));
  flip_bit(folder("a") / kFile, 3);
  EXPECT_THAT(error_of([&] { tokenizer_of("a"); }), HasSubstr(kFile));
  const Verification found = verify("a");
  ASSERT_EQ(found.damage.size(), 1u);
  EXPECT_EQ(found.damage.front().file, kFile);
  EXPECT_THAT(found.held, ElementsAre(StageIndex(1)));
}

TEST_F(TokenizerTest, WithoutItsFileTheStageIsNotHeld) {
  save("a");
  fs::remove(folder("a") / kFile);
  EXPECT_EQ(store("a").inspect(kStep)->state, StepState::partial);
  EXPECT_THAT(store("a").inspect(kStep)->held, ElementsAre(StageIndex(1)));
  EXPECT_THAT(error_of([&] { CheckpointReader(disk_, folder("a")); }), HasSubstr(kFile));
}

TEST_F(TokenizerTest, ASaveWithAnotherOneWithdrawsTheManifestFirst) {
  save("a");
  CheckpointStore again = store("a");
  again.write_stage(SampleCheckpoint(kStep, {.tokenizer = "another one"}).stage(0, kCut));
  EXPECT_FALSE(fs::exists(folder("a") / "manifest.json"));
  again.discard(kStep, StageIndex(0));
  EXPECT_FALSE(fs::exists(folder("a") / kFile));
}

TEST_F(TokenizerTest, GoesAlongWithReshardMergeAndSeal) {
  const CheckpointId id = save("a");
  const auto cut = [&](const std::string& from, const std::string& to, std::size_t stages) {
    const CheckpointReader source(disk_, folder(from));
    CheckpointStore target = store(to);
    return reshard(source, job::partition(source.manifest().run.model, stages, {}), disk_, target);
  };
  cut("a", "four", 4);
  EXPECT_EQ(tokenizer_of("four"), kPieces);
  EXPECT_EQ(cut("four", "two", 2), id);

  for (const std::string name : {"host-0", "host-1"}) save(name);
  for (const char* file : {"model.safetensors", "tokenizer.model"}) {
    fs::remove(folder("host-1") / (std::string("stage-00.") + file));
  }
  fs::remove(folder("host-0") / "stage-01.model.safetensors");
  CheckpointStore whole = store("whole");
  EXPECT_EQ(
      merge(disk_, plan_merge(disk_, std::vector{root("host-0"), root("host-1")}, kStep), whole),
      id);
  EXPECT_EQ(tokenizer_of("whole"), kPieces);

  fs::remove(folder("whole") / "manifest.json");
  flip_bit(folder("whole") / kFile, 3);
  EXPECT_THAT(error_of([&] { seal_step(disk_, whole, kStep); }), HasSubstr(kFile));
  flip_bit(folder("whole") / kFile, 3);
  EXPECT_EQ(seal_step(disk_, whole, kStep).id, id);
}

TEST_F(TokenizerTest, AModelThatIsNamedMayLieBehindALinkAndHasALimit) {
  write_text(root("pieces"), kPieces);
  fs::create_symlink("pieces", root("link"));
  EXPECT_EQ(load_tokenizer(disk_, root("link")), kPieces);
  write_text(root("empty"), "");
  EXPECT_THAT(error_of([&] { load_tokenizer(disk_, root("empty")); }, ErrorKind::usage),
              HasSubstr("0 bytes"));
  fs::resize_file(root("empty"), kMaxTokenizerBytes + 1);
  EXPECT_THAT(error_of([&] { load_tokenizer(disk_, root("empty")); }, ErrorKind::usage),
              HasSubstr("are allowed"));
  fs::resize_file(root("empty"), kMaxTokenizerBytes);
  EXPECT_EQ(
      tokenizer_record(StageIndex(0), load_tokenizer(disk_, root("empty"))).chunk_sha256.size(),
      kMaxTokenizerBytes / kChunkBytes);
}

}  // namespace
}  // namespace ptrain::ckpt
