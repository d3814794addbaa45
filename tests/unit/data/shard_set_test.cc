#include "tools/data/shard_set.h"

#include <vector>

#include <gtest/gtest.h>

#include "libcommon/base/error.h"
#include "tests/unit/data/scratch_directory.h"

namespace ptrain::data {
namespace {

using Tokens = std::vector<std::uint32_t>;

ShardSetOptions options(const ScratchDirectory& scratch, std::uint64_t shard_tokens,
                        ExistingShards existing = ExistingShards::refuse) {
  return {.directory = scratch.path(), .shard_tokens = shard_tokens, .existing = existing};
}

Tokens tokens_of(const std::filesystem::path& path) {
  const TokenShard shard(path);
  Tokens tokens;
  for (std::uint64_t i = 0; i < shard.token_count(); ++i) tokens.push_back(shard.token(i));
  return tokens;
}

TEST(ShardSet, AFullShardIsFollowedByTheNext) {
  const ScratchDirectory scratch;
  ShardSet set(options(scratch, 3));
  set.append(Split::train, Tokens{1, 2});
  set.append(Split::train, Tokens{3, 4, 5, 6, 7});
  const std::vector<ShardRecord> records = set.commit();
  ASSERT_EQ(records.size(), 3U);
  EXPECT_EQ(tokens_of(scratch / "train_000000.bin"), (Tokens{1, 2, 3}));
  EXPECT_EQ(tokens_of(scratch / "train_000001.bin"), (Tokens{4, 5, 6}));
  EXPECT_EQ(tokens_of(scratch / "train_000002.bin"), (Tokens{7}));
}

TEST(ShardSet, NoShardIsBegunThatWouldStayEmpty) {
  const ScratchDirectory scratch;
  ShardSet set(options(scratch, 3));
  set.append(Split::train, Tokens{1, 2, 3});
  set.append(Split::val, Tokens{});
  EXPECT_EQ(set.commit().size(), 1U);
  EXPECT_EQ(scratch.file_count(), 1);
}

TEST(ShardSet, TheSplitsAreSeriesOfTheirOwn) {
  const ScratchDirectory scratch;
  ShardSet set(options(scratch, 10));
  set.append(Split::train, Tokens{1});
  set.append(Split::val, Tokens{2});
  set.append(Split::train, Tokens{3});
  set.commit();
  EXPECT_EQ(tokens_of(scratch / "train_000000.bin"), (Tokens{1, 3}));
  EXPECT_EQ(tokens_of(scratch / "val_000000.bin"), (Tokens{2}));
}

TEST(ShardSet, WithoutCommitNoShardIsLeft) {
  const ScratchDirectory scratch;
  {
    ShardSet set(options(scratch, 1));
    set.append(Split::train, Tokens{1, 2, 3});
  }
  EXPECT_EQ(scratch.file_count(), 0);
}

TEST(ShardSet, AnOlderDataSetIsRefused) {
  const ScratchDirectory scratch;
  write_shard(scratch / "val_000000.bin", {1});
  EXPECT_ERROR(ShardSet(options(scratch, 1)), ErrorKind::usage, scratch.path(), "val_000000.bin");
}

TEST(ShardSet, AnOlderDataSetIsReplacedWholeAndNothingElseIs) {
  const ScratchDirectory scratch;
  write_shard(scratch / "train_000000.bin", {1});
  write_shard(scratch / "train_000001.bin", {1});
  write_shard(scratch / "val_000000.bin", {1});
  write_text(scratch / "training.bin", "mine");
  {
    ShardSet abandoned(options(scratch, 5, ExistingShards::replace));
    abandoned.append(Split::train, Tokens{9});
  }
  EXPECT_EQ(scratch.file_count(), 4);
  ShardSet set(options(scratch, 5, ExistingShards::replace));
  set.append(Split::train, Tokens{7});
  set.commit();
  EXPECT_EQ(tokens_of(scratch / "train_000000.bin"), (Tokens{7}));
  EXPECT_TRUE(std::filesystem::exists(scratch / "training.bin"));
  EXPECT_EQ(scratch.file_count(), 2);
}

TEST(ShardSet, MakesItsFolder) {
  const ScratchDirectory scratch;
  ShardSet set({.directory = scratch / "a/b", .shard_tokens = 1});
  set.append(Split::train, Tokens{1});
  set.commit();
  EXPECT_EQ(tokens_of(scratch / "a/b/train_000000.bin"), (Tokens{1}));
}

}  // namespace
}  // namespace ptrain::data
