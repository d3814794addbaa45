#include "libcommon/ckpt/shard_writer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "libcommon/ckpt/safetensors.h"
#include "libcommon/os/read_file.h"
#include "tests/unit/ckpt/error_of.h"
#include "tests/unit/os/temporary_directory.h"

namespace ptrain::ckpt {
namespace {

using ::testing::HasSubstr;

class ShardWriterTest : public ::testing::Test {
 protected:
  os::TemporaryDirectory directory_;
  os::PosixStorage disk_;
  const std::vector<TensorInfo> infos_ = {{"empty", Dtype::f32, {0}},
                                          {"a", Dtype::u8, {5}},
                                          {"none", Dtype::u8, {2, 0}},
                                          {"b", Dtype::i16, {3}}};
};

TEST_F(ShardWriterTest, PiecesOfAnySizeMakeTheSameFile) {
  const std::string data = "abcdeUVWXYZ";
  std::vector<FileRecord> records;
  for (std::size_t piece = 1; piece <= data.size(); ++piece) {
    ShardWriter shard(disk_, directory_.path() / "x", "test", infos_);
    for (std::size_t at = 0; at < data.size(); at += piece) {
      const auto part = std::string_view(data).substr(at, piece);
      shard.append(std::as_bytes(std::span(part.data(), part.size())));
    }
    records.push_back(shard.finish());
    shard.commit();
    EXPECT_EQ(records.back(), records.front());
  }
  EXPECT_EQ(os::read_file(disk_, directory_.path() / "x", 10000),
            safetensors_header(infos_, pytorch_metadata()) + data);
  EXPECT_EQ(records[0].tensors[0].sha256, sha256(""));
  EXPECT_EQ(records[0].tensors[1].sha256, sha256("abcde"));
  EXPECT_EQ(records[0].tensors[2].sha256, sha256(""));
  EXPECT_EQ(records[0].tensors[3].sha256, sha256("UVWXYZ"));
}

TEST_F(ShardWriterTest, AFileOfExactlyOneChunkHasOneHashAndAByteMoreHasTwo) {
  for (const std::uint64_t extra : {0u, 1u}) {
    TensorInfo info{"t", Dtype::u8, {1'000'000}};  // as many digits as the final size
    const std::uint64_t header = safetensors_header(std::span(&info, 1), pytorch_metadata()).size();
    info.shape[0] = static_cast<std::int64_t>(kChunkBytes - header + extra);
    ShardWriter shard(disk_, directory_.path() / "x", "test", {info});
    shard.append(std::vector<std::byte>(kChunkBytes - header + extra));
    const FileRecord record = shard.finish();
    EXPECT_EQ(record.file.bytes, ByteCount(kChunkBytes + extra));
    EXPECT_EQ(record.chunk_sha256.size(), 1 + extra);
  }
}

TEST_F(ShardWriterTest, BytesTooFewOrTooManyAreADefect) {
  ShardWriter shard(disk_, directory_.path() / "x", "test", infos_);
  shard.append(std::vector<std::byte>(10));
  EXPECT_THAT(error_of([&] { shard.finish(); }, ErrorKind::internal),
              HasSubstr("tensor \"b\" lacks 1 bytes"));
  EXPECT_THAT(error_of([&] { shard.append(std::vector<std::byte>(2)); }, ErrorKind::internal),
              HasSubstr("1 bytes after the last tensor"));
}

}  // namespace
}  // namespace ptrain::ckpt
