#include "libcommon/ckpt/checkpoint_reader.h"

#include <fstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "libcommon/ckpt/store.h"
#include "tests/unit/ckpt/error_of.h"
#include "tests/unit/ckpt/sample_checkpoint.h"
#include "tests/unit/os/temporary_directory.h"

namespace ptrain::ckpt {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

class CheckpointReaderTest : public ::testing::Test {
 protected:
  CheckpointReader open(Coverage coverage = Coverage::all_stages) {
    return CheckpointReader(disk_, store_.step_directory(Step(10)), coverage);
  }
  std::filesystem::path file(const std::string& name) {
    return store_.step_directory(Step(10)) / name;
  }
  void flip_bit(const std::string& name, std::uint64_t offset) {
    std::fstream stream(file(name), std::ios::in | std::ios::out | std::ios::binary);
    stream.seekg(static_cast<std::streamoff>(offset));
    const char c = static_cast<char>(stream.get() ^ 1);
    stream.seekp(static_cast<std::streamoff>(offset));
    stream.put(c);
  }
  static std::vector<std::byte> read(const CheckpointReader& reader, const std::string& name) {
    std::vector<std::byte> bytes(byte_size(reader.tensor(name).info).value());
    reader.read(name, bytes);
    return bytes;
  }

  os::TemporaryDirectory directory_;
  os::PosixStorage disk_;
  CheckpointStore store_{disk_, directory_.path(), "test"};
};

TEST_F(CheckpointReaderTest, GivesEveryTensorByNameWhateverTheCut) {
  for (const std::vector<std::int64_t>& cut :
       {std::vector<std::int64_t>{4}, {2, 4}, {1, 2, 3, 4}, {0, 4}}) {
    for (const bool tied : {false, true}) {
      const SampleCheckpoint sample(Step(10), {.tied = tied});
      const CheckpointId id = sample.save(store_, cut);
      const CheckpointReader reader = open();
      EXPECT_EQ(reader.id(), id);
      EXPECT_EQ(reader.tensors().size(), sample.tensors().size());
      for (const auto& [name, bytes] : sample.tensors()) EXPECT_EQ(read(reader, name), bytes);
      reader.verify_data();
    }
  }
}

TEST_F(CheckpointReaderTest, ListsTheModelInCanonicalOrderThenTheMoments) {
  const SampleCheckpoint sample(Step(10), {.tied = true});
  sample.save(store_, {2, 4});
  const auto tensors = open().tensors();
  const auto parameters = job::parameters(sample.run().model);
  for (std::size_t i = 0; i < parameters.size(); ++i) {
    EXPECT_EQ(tensors[i].name, parameters[i].name);
    EXPECT_EQ(tensors[i].shape, parameters[i].shape);
  }
  EXPECT_EQ(tensors[parameters.size()].name, parameters[0].name + ".exp_avg");
}

TEST_F(CheckpointReaderTest, AnUnknownTensorIsNamed) {
  SampleCheckpoint(Step(10)).save(store_, {4});
  const CheckpointReader reader = open();
  EXPECT_FALSE(reader.contains("model.nothing"));
  EXPECT_TRUE(reader.contains("model.norm.weight.exp_avg"));
  EXPECT_THAT(error_of([&] { reader.tensor("model.nothing"); }), HasSubstr("\"model.nothing\""));
}

TEST_F(CheckpointReaderTest, AFlippedBitInDataIsFoundByReadAndByVerifyWithFileAndChunk) {
  const SampleCheckpoint sample(Step(10), {.hidden_size = 512});
  sample.save(store_, {4});
  const std::uint64_t offset = 2 * kChunkBytes + 12345;
  flip_bit("stage-00.model.safetensors", offset);
  const CheckpointReader reader = open();
  const auto damage = AllOf(HasSubstr("stage-00.model.safetensors: chunk 2"),
                            HasSubstr("bytes 8388608 to 12582912"));
  EXPECT_THAT(error_of([&] { reader.verify_data(); }), damage);
  int damaged = 0;
  for (const auto& [name, bytes] : sample.tensors()) {
    try {
      EXPECT_EQ(read(reader, name), bytes);
    } catch (const Error& error) {
      EXPECT_THAT(error.what(), damage);
      EXPECT_THAT(error.hint(), HasSubstr(reader.id().hex().substr(0, 12)));
      ++damaged;
    }
  }
  EXPECT_EQ(damaged, 1);
}

TEST_F(CheckpointReaderTest, VerifyReportsEveryByteItReads) {
  SampleCheckpoint(Step(10), {.hidden_size = 512}).save(store_, {2, 4});
  const CheckpointReader reader = open();
  std::uint64_t read_bytes = 0;
  reader.verify_data([&](ByteCount bytes) { read_bytes += bytes.value(); });
  std::uint64_t data_bytes = 0;
  for (const StageRecord& record : reader.records()) {
    data_bytes += record.model.file.bytes.value() + record.optim->file.bytes.value();
  }
  EXPECT_EQ(read_bytes, data_bytes);
}

TEST_F(CheckpointReaderTest, DamageOfHeadersRecordsAndManifestIsFoundWhenOpening) {
  const SampleCheckpoint sample(Step(10));
  for (const char* name : {"stage-00.record.json", "stage-01.record.json", "manifest.json"}) {
    sample.save(store_, {2, 4});
    const auto size = std::filesystem::file_size(file(name));
    for (std::uint64_t offset = 0; offset < size; offset += 97) {
      flip_bit(name, offset);
      const std::string what = error_of([&] { open(); });
      EXPECT_THAT(what, HasSubstr("json")) << name << " at " << offset;
      flip_bit(name, offset);
    }
    open();
  }
  flip_bit("stage-00.model.safetensors", 20);
  EXPECT_THAT(error_of([&] { open(); }), HasSubstr("stage-00.model.safetensors"));
}

TEST_F(CheckpointReaderTest, AMissingStageIsNamedOrPassedOver) {
  const SampleCheckpoint sample(Step(10));
  sample.save(store_, {2, 4});
  std::filesystem::remove(file("stage-01.optim.safetensors"));
  EXPECT_THAT(error_of([&] { open(); }), HasSubstr("stage-01.optim.safetensors is not here"));
  const CheckpointReader reader = open(Coverage::held_stages);
  EXPECT_EQ(reader.records().size(), 1u);
  const std::string held = "model.layers.1.mlp.up_proj.weight";
  EXPECT_EQ(read(reader, held), sample.tensors().at(held));
  EXPECT_FALSE(reader.contains("model.layers.2.mlp.up_proj.weight"));
}

TEST_F(CheckpointReaderTest, AFileOfAnotherCheckpointIsRefused) {
  CheckpointStore other(disk_, directory_.path() / "other", "x");
  SampleCheckpoint(Step(10), {.seed = 2}).save(other, {2, 4});
  for (const char* name : {"stage-00.record.json", "stage-01.model.safetensors"}) {
    SampleCheckpoint(Step(10)).save(store_, {2, 4});
    std::filesystem::copy_file(other.step_directory(Step(10)) / name, file(name),
                               std::filesystem::copy_options::overwrite_existing);
    EXPECT_THAT(error_of([&] { open().verify_data(); }), HasSubstr(name));
  }
}

TEST_F(CheckpointReaderTest, ASymbolicLinkInPlaceOfAFileIsRefused) {
  SampleCheckpoint(Step(10)).save(store_, {4});
  std::filesystem::rename(file("stage-00.model.safetensors"), directory_.path() / "elsewhere");
  std::filesystem::create_symlink(directory_.path() / "elsewhere",
                                  file("stage-00.model.safetensors"));
  EXPECT_THAT(error_of([&] { open(); }), HasSubstr("not a regular file"));
}

TEST_F(CheckpointReaderTest, AStepWithoutManifestCannotBeOpened) {
  store_.write_stage(SampleCheckpoint(Step(10)).stage(0, {4}));
  EXPECT_THAT(error_of([&] { open(); }, ErrorKind::io), HasSubstr("manifest.json"));
}

}  // namespace
}  // namespace ptrain::ckpt
