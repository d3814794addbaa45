#include "libcommon/ckpt/verify.h"

#include <algorithm>
#include <atomic>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include "libcommon/ckpt/chunk_scan.h"
#include "libcommon/ckpt/shard_writer.h"
#include "libcommon/ckpt/store.h"
#include "libcommon/os/read_file.h"
#include "tests/unit/ckpt/damage.h"
#include "tests/unit/ckpt/error_of.h"
#include "tests/unit/ckpt/sample_checkpoint.h"
#include "tests/unit/os/temporary_directory.h"

namespace ptrain::ckpt {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr Step kStep(10);

class VerifyTest : public ::testing::Test {
 protected:
  std::filesystem::path folder() const { return store_.step_directory(kStep); }
  std::filesystem::path file(const std::string& name) const { return folder() / name; }
  Verification verify(Thoroughness thoroughness = Thoroughness::data) {
    return verify_step(disk_, folder(), {.thoroughness = thoroughness});
  }
  // The one thing that is wrong, as "FILE: REASON".
  std::string only_damage(Thoroughness thoroughness = Thoroughness::structure) {
    const Verification found = verify(thoroughness);
    EXPECT_EQ(found.damage.size(), 1u);
    if (found.damage.empty()) return "";
    return found.damage.front().file + ": " + found.damage.front().reason;
  }

  os::TemporaryDirectory directory_;
  os::PosixStorage disk_;
  CheckpointStore store_{disk_, directory_.path(), "test"};
};

TEST_F(VerifyTest, AWholeCheckpointIsWholeByStructureAndByData) {
  const CheckpointId id = SampleCheckpoint(kStep).save(store_, {2, 4});
  std::uint64_t data_bytes = 0;
  for (const FileDigest& file : files(store_.read_manifest(kStep))) {
    if (file.name.ends_with(".safetensors")) data_bytes += file.bytes.value();
  }
  for (const auto thoroughness : {Thoroughness::structure, Thoroughness::data}) {
    const Verification found = verify(thoroughness);
    EXPECT_TRUE(found.whole());
    EXPECT_EQ(found.id, id);
    EXPECT_THAT(found.held, ElementsAre(StageIndex(0), StageIndex(1)));
    EXPECT_EQ(found.checked.value(), thoroughness == Thoroughness::data ? data_bytes : 0);
  }
}

TEST_F(VerifyTest, ProgressAddsUpToAllBytesOnAnyNumberOfThreads) {
  SampleCheckpoint(kStep, {.hidden_size = 256}).save(store_, {2, 4});
  for (const std::size_t threads : {1, 2, 5, 100}) {
    std::uint64_t told = 0;
    const Verification found = verify_step(
        disk_, folder(),
        {.thoroughness = Thoroughness::data, .threads = threads, .progress = [&](ByteCount bytes) {
           told += bytes.value();
         }});
    EXPECT_TRUE(found.whole());
    EXPECT_EQ(told, found.checked.value());
    EXPECT_GT(told, 2 * kChunkBytes);
  }
}

TEST_F(VerifyTest, EveryFlippedBitOfAFileIsNamedByChunkRangeAndTensor) {
  SampleCheckpoint(kStep, {.hidden_size = 256}).save(store_, {4});
  const FileRecord record = store_.read_record(kStep, StageIndex(0)).model;
  ASSERT_GT(record.chunk_sha256.size(), 2u);
  const auto ranges = tensor_ranges(record);
  const std::uint64_t last = record.file.bytes.value() - 1;
  for (const std::uint64_t offset : {ranges[0].begin, kChunkBytes - 1, kChunkBytes, last}) {
    flip_bit(file(record.file.name), offset);
    const Verification found = verify();
    ASSERT_EQ(found.damage.size(), 1u) << offset;
    const Damage& damage = found.damage.front();
    EXPECT_EQ(damage.file, record.file.name);
    ASSERT_TRUE(damage.chunk.has_value());
    EXPECT_EQ(damage.chunk->index, offset / kChunkBytes);
    EXPECT_LE(damage.chunk->range.begin, offset);
    EXPECT_GT(damage.chunk->range.end, offset);
    const auto hit = std::ranges::find_if(
        ranges, [&](const ByteRange& r) { return r.begin <= offset && offset < r.end; });
    const auto& name = record.tensors[static_cast<std::size_t>(hit - ranges.begin())].info.name;
    EXPECT_THAT(damage.chunk->tensors, Contains(name));
    EXPECT_THAT(damage.reason, HasSubstr(name));
    EXPECT_THAT(found.held, IsEmpty());
    EXPECT_TRUE(verify(Thoroughness::structure).whole());  // which does not read data
    flip_bit(file(record.file.name), offset);
  }
}

TEST_F(VerifyTest, AllDamageIsListedNotOnlyTheFirst) {
  SampleCheckpoint(kStep, {.hidden_size = 256}).save(store_, {2, 4});
  flip_bit(file("stage-00.model.safetensors"), kChunkBytes + 5);
  flip_bit(file("stage-01.optim.safetensors"), 2 * kChunkBytes + 5);
  flip_bit(file("stage-01.optim.safetensors"), kChunkBytes + 5);
  const Verification found = verify();
  ASSERT_EQ(found.damage.size(), 3u);
  EXPECT_EQ(found.damage[0].file, "stage-00.model.safetensors");
  EXPECT_EQ(found.damage[1].chunk->index, 1u);
  EXPECT_EQ(found.damage[2].chunk->index, 2u);
}

TEST_F(VerifyTest, ADamagedHeaderIsFoundByStructureAlone) {
  SampleCheckpoint(kStep).save(store_, {2, 4});
  flip_bit(file("stage-00.model.safetensors"), 40);
  EXPECT_THAT(only_damage(), HasSubstr("stage-00.model.safetensors: "));
  const Verification found = verify();
  ASSERT_EQ(found.damage.size(), 2u);
  EXPECT_THAT(found.damage[1].chunk->tensors, Contains("the header"));
  EXPECT_THAT(found.held, ElementsAre(StageIndex(1)));
}

TEST_F(VerifyTest, AFileThatIsShortOrNoFileIsSaidSo) {
  SampleCheckpoint(kStep).save(store_, {2, 4});
  const auto path = file("stage-01.optim.safetensors");
  std::filesystem::resize_file(path, 100);
  EXPECT_THAT(only_damage(), HasSubstr("stage-01.optim.safetensors: 100 bytes, the manifest says"));
  std::filesystem::remove(path);
  std::filesystem::create_directory(path);
  EXPECT_THAT(only_damage(), HasSubstr("not a regular file"));
  std::filesystem::remove(path);
  std::filesystem::create_symlink(file("stage-00.optim.safetensors"), path);
  EXPECT_THAT(only_damage(), HasSubstr("not a regular file"));
  std::filesystem::remove(path);
  ASSERT_EQ(::mkfifo(path.c_str(), 0600), 0);  // reading it would never end
  EXPECT_THAT(only_damage(Thoroughness::data), HasSubstr("not a regular file"));
}

TEST_F(VerifyTest, WithADamagedRecordTheManifestStillVouchesForTheFiles) {
  SampleCheckpoint(kStep).save(store_, {2, 4});
  flip_bit(file("stage-00.record.json"), 50);
  EXPECT_THAT(only_damage(Thoroughness::data),
              HasSubstr("stage-00.record.json: does not have the SHA-256"));
  flip_bit(file("stage-00.model.safetensors"), 3000);
  const Verification found = verify();
  ASSERT_EQ(found.damage.size(), 2u);
  EXPECT_EQ(found.damage[1].file, "stage-00.model.safetensors");
}

TEST_F(VerifyTest, MissingFilesAreNoDamageAndTheOtherStagesAreHeld) {
  SampleCheckpoint(kStep).save(store_, {1, 2, 4});
  std::filesystem::remove(file("stage-01.model.safetensors"));
  const Verification found = verify();
  EXPECT_TRUE(found.sound());
  EXPECT_FALSE(found.whole());
  EXPECT_THAT(found.missing, ElementsAre("stage-01.model.safetensors"));
  EXPECT_THAT(found.held, ElementsAre(StageIndex(0), StageIndex(2)));
}

TEST_F(VerifyTest, FilesOfAnotherCheckpointAreNotTakenForItsOwn) {
  SampleCheckpoint(kStep).save(store_, {2, 4});
  CheckpointStore other(disk_, directory_.path() / "other", "test");
  SampleCheckpoint(kStep, {.seed = 2}).save(other, {2, 4});
  const auto take = [&](const std::string& name) {
    std::filesystem::copy_file(other.step_directory(kStep) / name, file(name),
                               std::filesystem::copy_options::overwrite_existing);
  };
  take("stage-00.model.safetensors");
  EXPECT_THAT(only_damage(Thoroughness::data), HasSubstr("chunk 0"));
  take("stage-00.record.json");
  EXPECT_FALSE(verify(Thoroughness::structure).sound());
}

TEST_F(VerifyTest, AManifestOfAnotherStepOrThatNamesForeignFilesIsRefused) {
  SampleCheckpoint(kStep).save(store_, {2, 4});
  SampleCheckpoint(Step(20)).save(store_, {2, 4});
  const std::string text = os::read_file(disk_, file("manifest.json"), kMaxManifestBytes);
  write_text(store_.step_directory(Step(20)) / "manifest.json", text);
  EXPECT_THAT(error_of([&] { verify_step(disk_, store_.step_directory(Step(20)), {}); }),
              HasSubstr("is the manifest of step 10"));
  for (const std::string name : {"../stage-00.model.safetensors", "/etc/passwd-00.safetensors",
                                 "stage-01.model.safetensors", "sub/stage-0.model.safetensors"}) {
    std::string changed = text;
    const std::string ours = "stage-00.model.safetensors";
    changed.replace(changed.find(ours), ours.size(), name);
    write_text(file("manifest.json"), changed);
    EXPECT_THAT(error_of([&] { verify(); }), HasSubstr("expected \"stage-00.model.safetensors\""));
  }
}

TEST_F(VerifyTest, AManifestThatDoesNotFollowFromItsRecordsIsDamage) {
  SampleCheckpoint(kStep).save(store_, {2, 4});
  Manifest manifest = store_.read_manifest(kStep);
  manifest.weights_sha256 = sha256("other weights");
  write_text(file("manifest.json"), canonical_json(manifest));
  EXPECT_EQ(only_damage(), "manifest.json: does not follow from its records");
}

TEST_F(VerifyTest, StoppingFromProgressEndsAllThreads) {
  SampleCheckpoint(kStep, {.hidden_size = 256}).save(store_, {2, 4});
  struct Stop {};
  EXPECT_THROW(verify_step(disk_, folder(),
                           {.thoroughness = Thoroughness::data,
                            .threads = 3,
                            .progress = [](ByteCount) { throw Stop(); }}),
               Stop);
}

TEST_F(VerifyTest, AReadErrorOnAnyThreadIsAnError) {
  class Broken final : public os::ReadableFile {
   public:
    explicit Broken(ByteCount size) : size_(size) {}
    ByteCount size() const override { return size_; }
    void read_at(std::uint64_t offset, std::span<std::byte> out) const override {
      if (offset >= 5 * kChunkBytes) throw io_error("read", EIO);
      std::ranges::fill(out, std::byte{});
    }

   private:
    ByteCount size_;
  };
  std::vector<ScannedFile> scanned;
  FileRecord record;
  record.file = {"x", ByteCount(8 * kChunkBytes), {}};
  record.chunk_sha256.resize(8);
  scanned.push_back({std::make_unique<Broken>(record.file.bytes), record});
  for (const std::size_t threads : {1, 4}) {
    error_of([&] { find_bad_chunks(scanned, threads, {}); }, ErrorKind::io);
  }
}

TEST(TensorsIn, NamesWhatARangeTouchesAndNothingBesides) {
  FileRecord file;
  file.tensors = {{{"a", Dtype::f32, {16}}, {}}, {{"b", Dtype::f32, {16}}, {}}};
  const auto ranges = tensor_ranges(file);
  const std::uint64_t begin = ranges[0].begin;
  ASSERT_EQ(ranges[1], (ByteRange{begin + 64, begin + 128}));
  EXPECT_THAT(tensors_in(file, {0, begin}), ElementsAre("the header"));
  EXPECT_THAT(tensors_in(file, {0, begin + 1}), ElementsAre("the header", "a"));
  EXPECT_THAT(tensors_in(file, {begin, begin + 64}), ElementsAre("a"));
  EXPECT_THAT(tensors_in(file, {begin + 63, begin + 65}), ElementsAre("a", "b"));
  EXPECT_THAT(tensors_in(file, {begin + 64, begin + 128}), ElementsAre("b"));
}

}  // namespace
}  // namespace ptrain::ckpt
