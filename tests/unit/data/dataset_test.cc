#include "libcommon/data/dataset.h"

#include <algorithm>
#include <numeric>
#include <vector>

#include <gtest/gtest.h>

#include "libcommon/base/error.h"
#include "tests/unit/data/scratch_directory.h"

namespace ptrain::data {
namespace {

constexpr std::uint32_t kVocabulary = 1000;

std::vector<std::uint32_t> counting_from(std::uint32_t first, std::size_t count) {
  std::vector<std::uint32_t> tokens(count);
  std::iota(tokens.begin(), tokens.end(), first);
  return tokens;
}

TokenDataset open(const ScratchDirectory& scratch, std::uint64_t seq_len,
                  std::uint32_t vocab_size = kVocabulary) {
  return TokenDataset({.globs = {scratch / "*.bin"}, .seq_len = seq_len, .vocab_size = vocab_size});
}

struct Window {
  std::vector<std::int32_t> inputs;
  std::vector<std::int32_t> targets;
  bool operator==(const Window&) const = default;
};

Window read(const TokenDataset& dataset, std::uint64_t index) {
  Window window{std::vector<std::int32_t>(dataset.seq_len()),
                std::vector<std::int32_t>(dataset.seq_len())};
  dataset.read_window(index, window.inputs, window.targets);
  return window;
}

// A shard of zeros, as large as need be without using the disk.
void write_sparse_shard(const std::filesystem::path& path, std::uint64_t token_count) {
  write_shard(path, {});
  const auto header = serialise({TokenWidth::bits16, token_count});
  write_text(path, {reinterpret_cast<const char*>(header.data()), header.size()});
  std::filesystem::resize_file(path, kShardHeaderBytes + token_count * 2);
}

void overwrite_token(const std::filesystem::path& path, std::uint64_t index, std::uint16_t token) {
  std::fstream file(path, std::ios::binary | std::ios::in | std::ios::out);
  file.seekp(static_cast<std::streamoff>(kShardHeaderBytes + index * 2));
  file.write(reinterpret_cast<const char*>(&token), sizeof token);
}

TEST(TokenDataset, AWindowNeedsOneTokenMoreThanItsLength) {
  const struct {
    std::size_t tokens;
    std::uint64_t windows;
  } cases[] = {{5, 1}, {8, 1}, {9, 2}, {12, 2}, {13, 3}};
  for (const auto& [tokens, windows] : cases) {
    const ScratchDirectory scratch;
    write_shard(scratch / "a.bin", counting_from(0, tokens));
    EXPECT_EQ(open(scratch, 4).window_count(), windows) << tokens << " tokens";
  }
}

TEST(TokenDataset, WindowsNeitherOverlapNorCrossShards) {
  const ScratchDirectory scratch;
  write_shard(scratch / "a.bin", counting_from(0, 6));    // windows 0 and 1, token 5 is a target
  write_shard(scratch / "b.bin", {});                     // none
  write_shard(scratch / "c.bin", counting_from(100, 2));  // none
  write_shard(scratch / "d.bin", counting_from(200, 3), TokenWidth::bits32);  // window 2
  const TokenDataset dataset = open(scratch, 2);
  ASSERT_EQ(dataset.window_count(), 3U);
  EXPECT_EQ(dataset.token_count(), 11U);
  EXPECT_EQ(read(dataset, 0), (Window{{0, 1}, {1, 2}}));
  EXPECT_EQ(read(dataset, 1), (Window{{2, 3}, {3, 4}}));
  EXPECT_EQ(read(dataset, 2), (Window{{200, 201}, {201, 202}}));
}

TEST(TokenDataset, AWindowPastTheLastIsADefect) {
  const ScratchDirectory scratch;
  write_shard(scratch / "a.bin", counting_from(0, 5));
  const TokenDataset dataset = open(scratch, 4);
  EXPECT_ERROR(read(dataset, 1), ErrorKind::internal, "window 1 of 1");
}

TEST(TokenDataset, TextShorterThanAWindowIsRefused) {
  const ScratchDirectory scratch;
  write_shard(scratch / "a.bin", counting_from(0, 4));
  write_shard(scratch / "b.bin", counting_from(0, 4));
  EXPECT_ERROR(open(scratch, 4), ErrorKind::usage, "*.bin", "5 tokens");
}

TEST(TokenDataset, AGlobThatMatchesNothingIsNamed) {
  const ScratchDirectory scratch;
  write_shard(scratch / "a.bin", counting_from(0, 5));
  EXPECT_ERROR(
      TokenDataset(
          {.globs = {scratch / "*.bin", scratch / "val_*"}, .seq_len = 2, .vocab_size = 9}),
      ErrorKind::io, "no file matches", "val_*");
}

TEST(TokenDataset, ASmallOneIsCheckedAgainstTheVocabularyWhenItIsOpened) {
  const ScratchDirectory scratch;
  write_shard(scratch / "a.bin", counting_from(0, 10));
  open(scratch, 4, 10);
  // Token 9 is in no window: the check is of the data, not of what this sequence length uses.
  EXPECT_ERROR(open(scratch, 4, 9), ErrorKind::corrupt, "a.bin", "token 9 at index 9",
               "vocabulary size 9");
}

TEST(TokenDataset, ALargeOneIsCheckedAsItIsRead) {
  const ScratchDirectory scratch;
  write_sparse_shard(scratch / "a.bin", kEagerCheckTokens + 1);
  overwrite_token(scratch / "a.bin", 8, 5);
  const TokenDataset dataset = open(scratch, 4, 5);
  EXPECT_EQ(read(dataset, 0), (Window{{0, 0, 0, 0}, {0, 0, 0, 0}}));
  // Token 8 is the last target of window 1 and the first input of window 2.
  EXPECT_ERROR(read(dataset, 1), ErrorKind::corrupt, "token 5 at index 8", "vocabulary size 5");
  EXPECT_ERROR(read(dataset, 2), ErrorKind::corrupt, "token 5 at index 8");
  EXPECT_EQ(read(dataset, 3), (Window{{0, 0, 0, 0}, {0, 0, 0, 0}}));
}

TEST(TokenDataset, TheLargestSmallOneIsCheckedWhenItIsOpened) {
  const ScratchDirectory scratch;
  write_sparse_shard(scratch / "a.bin", kEagerCheckTokens);
  overwrite_token(scratch / "a.bin", kEagerCheckTokens - 1, 5);
  EXPECT_ERROR(open(scratch, 4, 5), ErrorKind::corrupt, "token 5 at index 67108863");
}

TEST(MatchGlobs, KeepsTheOrderOfTheGlobsAndSortsTheirMatches) {
  const ScratchDirectory scratch;
  for (const char* name : {"b2", "b1", "B3", "a1"}) write_text(scratch / name, "");
  const auto paths = match_globs({scratch / "[bB]*", scratch / "*1"});
  std::vector<std::string> names;
  for (const auto& path : paths) names.push_back(path.filename());
  // By bytes, capitals first; b1, which both match, once.
  EXPECT_EQ(names, (std::vector<std::string>{"B3", "b1", "b2", "a1"}));
}

std::vector<std::string> names_in(const ScratchDirectory& scratch,
                                  const std::vector<std::string>& words) {
  std::vector<std::string> globs;
  for (const std::string& word : words) globs.push_back(scratch / word);
  std::vector<std::string> names;
  for (const auto& path : match_globs(globs)) {
    names.push_back(path.lexically_relative(scratch.path()));
  }
  return names;
}

using Names = std::vector<std::string>;

TEST(MatchGlobs, ANameThatExistsIsThatFileAndNoPattern) {
  const ScratchDirectory scratch;
  for (const char* name : {"val[0].bin", "val0.bin", "a*", "ab", "q?", "qq", "back\\slash"}) {
    write_text(scratch / name, "");
  }
  EXPECT_EQ(names_in(scratch, {"val[0].bin"}), (Names{"val[0].bin"}));
  EXPECT_EQ(names_in(scratch, {"a*"}), (Names{"a*"}));
  EXPECT_EQ(names_in(scratch, {"q?"}), (Names{"q?"}));
  EXPECT_EQ(names_in(scratch, {"back\\slash"}), (Names{"back\\slash"}));
  std::filesystem::remove(scratch / "val[0].bin");
  EXPECT_EQ(names_in(scratch, {"val[0].bin"}), (Names{"val0.bin"}));
}

TEST(MatchGlobs, AFolderThatExistsIsNoPatternEither) {
  const ScratchDirectory scratch;
  for (const char* folder : {"run[1]", "run1", "run[1]/d?", "run[1]/dx"}) {
    std::filesystem::create_directory(scratch / folder);
    write_text(scratch / folder / "val_0.bin", "");
  }
  EXPECT_EQ(names_in(scratch, {"run[1]/val_*.bin"}), (Names{"run[1]/val_0.bin"}));
  EXPECT_EQ(names_in(scratch, {"run[1]/d?/*"}), (Names{"run[1]/d?/val_0.bin"}));
  EXPECT_EQ(names_in(scratch, {"run[1]/d[x]/*"}), (Names{"run[1]/dx/val_0.bin"}));
  EXPECT_EQ(names_in(scratch, {"run[12]/val_*"}), (Names{"run1/val_0.bin"}));
}

TEST(MatchGlobs, ALinkToNothingIsNamedAndNotPassedOver) {
  const ScratchDirectory scratch;
  std::filesystem::create_symlink("nowhere", scratch / "val[0].bin");
  write_text(scratch / "val0.bin", "");
  EXPECT_EQ(names_in(scratch, {"val[0].bin"}), (Names{"val[0].bin"}));
}

TEST(Fingerprint, IsOfTheContentsAndNotOfTheNames) {
  const ScratchDirectory one;
  const ScratchDirectory other;
  write_shard(one / "a.bin", counting_from(0, 100));
  write_shard(one / "b.bin", counting_from(7, 50));
  write_shard(other / "x.bin", counting_from(0, 100));
  write_shard(other / "y.bin", counting_from(7, 50));
  EXPECT_EQ(open(one, 4).fingerprint(), open(other, 4).fingerprint());
  EXPECT_EQ(open(one, 4).fingerprint().size(), 64U);
}

TEST(Fingerprint, TellsApartTokensWidthsAndOrder) {
  const std::vector<std::uint32_t> tokens = counting_from(0, 100);
  std::vector<std::string> fingerprints;
  const auto add = [&](const std::vector<std::pair<std::vector<std::uint32_t>, TokenWidth>>& all) {
    const ScratchDirectory scratch;
    for (std::size_t i = 0; i < all.size(); ++i) {
      write_shard(scratch / (std::to_string(i) + ".bin"), all[i].first, all[i].second);
    }
    fingerprints.push_back(open(scratch, 4).fingerprint());
  };
  add({{tokens, TokenWidth::bits16}});
  add({{tokens, TokenWidth::bits32}});
  add({{counting_from(1, 100), TokenWidth::bits16}});
  add({{counting_from(0, 101), TokenWidth::bits16}});
  add({{tokens, TokenWidth::bits16}, {counting_from(1, 100), TokenWidth::bits16}});
  add({{counting_from(1, 100), TokenWidth::bits16}, {tokens, TokenWidth::bits16}});
  std::sort(fingerprints.begin(), fingerprints.end());
  EXPECT_EQ(std::unique(fingerprints.begin(), fingerprints.end()), fingerprints.end());
}

TEST(Fingerprint, ReadsTheBeginningTheMiddleAndTheEndOfALargeShard) {
  constexpr std::uint64_t kTokens = 10 * kFingerprintBlockBytes / 2;
  const ScratchDirectory scratch;
  write_sparse_shard(scratch / "a.bin", kTokens);
  const std::string zeros = open(scratch, 4).fingerprint();
  for (const std::uint64_t index : {std::uint64_t{0}, kTokens / 2, kTokens - 1}) {
    overwrite_token(scratch / "a.bin", index, 1);
    EXPECT_NE(open(scratch, 4).fingerprint(), zeros) << index;
    overwrite_token(scratch / "a.bin", index, 0);
  }
}

}  // namespace
}  // namespace ptrain::data
