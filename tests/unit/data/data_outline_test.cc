#include "libcommon/data/data_outline.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "tests/unit/data/scratch_directory.h"

namespace ptrain::data {
namespace {

using ::testing::HasSubstr;

DataOutline outline(const std::vector<ShardOutline>& shards) {
  DataOutline all{.shards = shards.size(), .tokens = 0, .first = shards};
  for (const ShardOutline& shard : shards) all.tokens += shard.tokens;
  return all;
}

const ShardOutline kOne{.name = "a.bin", .tokens = 100, .bits = 16, .sample = "aa"};
const ShardOutline kTwo{.name = "b.bin", .tokens = 50, .bits = 16, .sample = "bb"};

std::string words(const std::vector<ShardOutline>& ours, const std::vector<ShardOutline>& theirs) {
  return difference("data.train", outline(ours), outline(theirs));
}

TEST(DataOutline, OfTheSameShardsUnderOtherNamesDiffersInNothing) {
  ShardOutline renamed = kTwo;
  renamed.name = "y.bin";
  EXPECT_EQ(words({kOne, kTwo}, {kOne, renamed}), "");
}

TEST(DataOutline, SaysHowManyAreWhereAndWhichDiffersFirst) {
  EXPECT_EQ(words({kOne, kTwo}, {kOne}),
            "data.train: 2 shards here, 1 there; 150 tokens here, 100 there; "
            "b.bin (50 tokens of 16 bits) is only here");
  ShardOutline other = kTwo;
  other.sample = "cc";
  EXPECT_EQ(words({kOne, kTwo}, {kOne, other}),
            "data.train: shard 2 is the first that differs: b.bin (50 tokens of 16 bits) here, "
            "b.bin (as many others) there");
  other.bits = 32;
  EXPECT_THAT(words({kOne, kTwo}, {kOne, other}), HasSubstr("b.bin (50 tokens of 32 bits) there"));
  EXPECT_EQ(difference("data.val", std::nullopt, outline({kOne})),
            "data.val: 1 shard there, none here");
  EXPECT_EQ(difference("data.val", std::nullopt, std::nullopt), "");
}

TEST(DataOutline, GoesThroughJsonAndWhatIsNoneDoesNot) {
  const ScratchDirectory scratch;
  write_shard(scratch / "a.bin", std::vector<std::uint32_t>(100, 1));
  write_shard(scratch / "b.bin", std::vector<std::uint32_t>(50, 2));
  const TokenDataset dataset({.globs = {scratch / "*.bin"}, .seq_len = 4, .vocab_size = 100});
  const DataOutline made = outline_of(dataset);
  EXPECT_EQ(made.shards, 2u);
  EXPECT_EQ(made.tokens, 150u);
  ASSERT_EQ(made.first.size(), 2u);
  EXPECT_EQ(made.first[1].name, "b.bin");
  EXPECT_EQ(difference("data.train", made, outline_from(to_json(made))), "");
  for (const char* none : {"null", "[]", "{}", R"({"shards":-1,"tokens":1,"first":[]})",
                           R"({"shards":1,"tokens":1,"first":[1]})"}) {
    EXPECT_FALSE(outline_from(nlohmann::json::parse(none))) << none;
  }
}

TEST(DataOutline, ListsSoManyShardsAndTakesNoMore) {
  DataOutline many = outline(std::vector<ShardOutline>(kMostOutlinedShards, kOne));
  EXPECT_TRUE(outline_from(to_json(many)));
  many.first.push_back(kOne);
  EXPECT_FALSE(outline_from(to_json(many)));
}

TEST(DataOutline, ANameOfAPeerDrivesNoTerminal) {
  ShardOutline evil = kTwo;
  evil.name = "\x1b[2J";
  EXPECT_EQ(words({}, {evil}).find('\x1b'), std::string::npos);
}

TEST(Dataset, KnowsWhichOfItsFirstShardsAnotherFingerprintIsOf) {
  const ScratchDirectory scratch;
  const auto open = [&] {
    return TokenDataset({.globs = {scratch / "*.bin"}, .seq_len = 4, .vocab_size = 100});
  };
  write_shard(scratch / "a.bin", std::vector<std::uint32_t>(100, 1));
  write_shard(scratch / "b.bin", std::vector<std::uint32_t>(50, 2));
  const std::string before = open().fingerprint();
  write_shard(scratch / "c.bin", std::vector<std::uint32_t>(50, 3));
  EXPECT_EQ(open().shards_of(before), 2u);
  EXPECT_EQ(open().shards_of(open().fingerprint()), 3u);
  EXPECT_EQ(open().shards_of("another"), std::nullopt);
}

}  // namespace
}  // namespace ptrain::data
