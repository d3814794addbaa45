#include "libcommon/data/token_shard.h"

#include <cstring>
#include <vector>

#include <gtest/gtest.h>

#include "libcommon/base/error.h"
#include "tests/unit/data/scratch_directory.h"

namespace ptrain::data {
namespace {

std::vector<std::byte> header_bytes(std::int32_t magic, std::int32_t version, std::int32_t count) {
  std::vector<std::byte> bytes(kShardHeaderBytes);
  const std::int32_t fields[] = {magic, version, count};
  std::memcpy(bytes.data(), fields, sizeof fields);
  return bytes;
}

TEST(ShardHeader, TheTwoStandardFormatsAreRead) {
  EXPECT_EQ(parse_shard_header(header_bytes(20240520, 1, 7), "x"),
            (ShardHeader{TokenWidth::bits16, 7}));
  EXPECT_EQ(parse_shard_header(header_bytes(20240801, 7, 7), "x"),
            (ShardHeader{TokenWidth::bits32, 7}));
}

TEST(ShardHeader, ItsBytesAreReadBackAsWritten) {
  for (const TokenWidth width : {TokenWidth::bits16, TokenWidth::bits32}) {
    const ShardHeader header{width, kMaxShardTokens};
    EXPECT_EQ(parse_shard_header(serialise(header), "x"), header);
  }
}

TEST(ShardHeader, AForeignMagicIsNamedWithWhatWasExpected) {
  EXPECT_ERROR(parse_shard_header(header_bytes(3, 1, 0), "x.bin"), ErrorKind::corrupt, "x.bin",
               "magic 3 at offset 0", "20240520", "20240801");
}

TEST(ShardHeader, TheVersionMustBelongToTheMagic) {
  EXPECT_ERROR(parse_shard_header(header_bytes(20240520, 7, 0), "x"), ErrorKind::corrupt,
               "version 7 at offset 4", "expected 1");
  EXPECT_ERROR(parse_shard_header(header_bytes(20240801, 1, 0), "x"), ErrorKind::corrupt,
               "version 1 at offset 4", "expected 7");
}

TEST(ShardHeader, ANegativeCountIsRefused) {
  EXPECT_ERROR(parse_shard_header(header_bytes(20240520, 1, -1), "x"), ErrorKind::corrupt,
               "token count -1 at offset 8");
}

TEST(ShardHeader, OneByteLessThanAHeaderIsRefused) {
  std::vector<std::byte> bytes = header_bytes(20240520, 1, 0);
  EXPECT_EQ(parse_shard(bytes, "x").token_count, 0U);
  bytes.pop_back();
  EXPECT_ERROR(parse_shard(bytes, "x"), ErrorKind::corrupt, "1023 bytes", "1024");
}

TEST(ShardHeader, TheFileMustBeExactlyAsLongAsItSays) {
  std::vector<std::byte> bytes = header_bytes(20240520, 1, 2);
  bytes.resize(kShardHeaderBytes + 4);
  EXPECT_EQ(parse_shard(bytes, "x").token_count, 2U);
  bytes.resize(kShardHeaderBytes + 3);
  EXPECT_ERROR(parse_shard(bytes, "x"), ErrorKind::corrupt, "1027 bytes", "2 tokens", "1028");
  bytes.resize(kShardHeaderBytes + 5);
  EXPECT_ERROR(parse_shard(bytes, "x"), ErrorKind::corrupt, "1029 bytes", "1028");
}

TEST(ShardHeader, SaysWhichTokenizerMadeTheTokensWhereThatIsKnown) {
  ShardHeader header{.width = TokenWidth::bits32, .token_count = 7};
  EXPECT_FALSE(parse_shard_header(serialise(header), "x").tokenizer);
  header.tokenizer = sha256("a model");
  EXPECT_EQ(parse_shard_header(serialise(header), "x"), header);
}

TEST(TokenShard, GivesBackTheTokensThatWereWritten) {
  const ScratchDirectory scratch;
  const std::vector<std::uint32_t> tokens{0, 1, 255, 65535};
  for (const TokenWidth width : {TokenWidth::bits16, TokenWidth::bits32}) {
    write_shard(scratch / "a.bin", tokens, width);
    const TokenShard shard(scratch / "a.bin");
    ASSERT_EQ(shard.token_count(), tokens.size());
    EXPECT_EQ(shard.width(), width);
    for (std::size_t i = 0; i < tokens.size(); ++i) EXPECT_EQ(shard.token(i), tokens[i]);
    std::vector<std::int32_t> middle(2);
    shard.copy(1, middle);
    EXPECT_EQ(middle, (std::vector<std::int32_t>{1, 255}));
    EXPECT_EQ(shard.largest_token(0, 4), 65535U);
    EXPECT_EQ(shard.largest_token(0, 3), 255U);
    EXPECT_EQ(shard.largest_token(2, 2), 0U);
  }
}

TEST(TokenShard, NamesTheFirstTokenBeyondTheVocabulary) {
  const ScratchDirectory scratch;
  write_shard(scratch / "a.bin", {5, 9, 10, 11});
  const TokenShard shard(scratch / "a.bin");
  shard.require_vocabulary(12, 0, 4);
  shard.require_vocabulary(10, 0, 2);
  EXPECT_ERROR(shard.require_vocabulary(10, 0, 4), ErrorKind::corrupt, "a.bin",
               "token 10 at index 2", "offset 1028", "vocabulary size 10");
}

TEST(TokenShard, ATokenThatAnInt32CannotHoldIsNotCopied) {
  const ScratchDirectory scratch;
  write_shard(scratch / "a.bin", {0x7fffffff, 0x80000000}, TokenWidth::bits32);
  const TokenShard shard(scratch / "a.bin");
  std::vector<std::int32_t> out(1);
  shard.copy(0, out);
  EXPECT_EQ(out[0], 0x7fffffff);
  EXPECT_ERROR(shard.copy(1, out), ErrorKind::corrupt, "token 2147483648 at index 1");
}

TEST(TokenShard, ReadingPastItsEndIsADefect) {
  const ScratchDirectory scratch;
  write_shard(scratch / "a.bin", {1, 2});
  const TokenShard shard(scratch / "a.bin");
  std::vector<std::int32_t> out(2);
  EXPECT_ERROR(shard.copy(1, out), ErrorKind::internal, "tokens 1 to 3 of 2");
  EXPECT_ERROR(shard.token(2), ErrorKind::internal, "tokens 2 to 3 of 2");
}

TEST(TokenShard, AFileThatIsNotThereIsNamed) {
  const ScratchDirectory scratch;
  EXPECT_ERROR(TokenShard(scratch / "absent.bin"), ErrorKind::io, "absent.bin",
               "No such file or directory");
}

TEST(TokenShard, AnEmptyFileIsCorrupt) {
  const ScratchDirectory scratch;
  write_text(scratch / "a.bin", "");
  EXPECT_ERROR(TokenShard(scratch / "a.bin"), ErrorKind::corrupt, "a.bin", "0 bytes");
}

}  // namespace
}  // namespace ptrain::data
