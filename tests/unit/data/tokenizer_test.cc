#include "libcommon/data/tokenizer.h"

#include <memory>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "libcommon/base/error.h"
#include "tests/unit/data/scratch_directory.h"
#include "tools/data/train_tokenizer.h"

namespace ptrain::data {
namespace {

// Text with what tokenizers like to change: blanks at both ends of lines, tabs, empty lines,
// characters of every length, and none of the training text.
constexpr const char* kAwkwardText =
    "  two  blanks before, one after \n\n\tA tab.\r\n"
    "\xc3\xa9t\xc3\xa9 \xe2\x82\xac 100 \xf0\x9f\x98\x80 \xef\xac\x81 \x01\n <s> <0x41> no newline";

class SentencePiece : public testing::Test {
 protected:
  // One model for all tests of the suite: English words, and a vocabulary of 400.
  static void SetUpTestSuite() {
    scratch_ = std::make_unique<ScratchDirectory>();
    std::string text;
    for (int i = 0; i < 50; ++i) {
      text +=
          "The quick brown fox jumps over the lazy dog, and then the dog sleeps again.\n"
          "It was the best of times, it was the worst of times; the age of wisdom.\n";
    }
    write_text(*scratch_ / "text.txt", text);
    train_tokenizer(
        {.texts = {*scratch_ / "text.txt"}, .vocab_size = 400, .out_prefix = *scratch_ / "model"});
  }
  static void TearDownTestSuite() { scratch_.reset(); }

  static std::unique_ptr<Tokenizer> model() { return make_tokenizer(*scratch_ / "model.model"); }

  static std::unique_ptr<ScratchDirectory> scratch_;
};
std::unique_ptr<ScratchDirectory> SentencePiece::scratch_;

std::string all_bytes() {
  std::string text;
  for (int b = 0; b < 256; ++b) text.push_back(static_cast<char>(b));
  return text;
}

TEST(Bytes, EveryByteIsItsOwnTokenAndComesBack) {
  const auto tokenizer = make_tokenizer("bytes");
  EXPECT_EQ(tokenizer->vocab_size(), 256U);
  const std::vector<std::uint32_t> tokens = tokenizer->encode(all_bytes());
  ASSERT_EQ(tokens.size(), 256U);
  for (std::uint32_t b = 0; b < 256; ++b) EXPECT_EQ(tokens[b], b);
  EXPECT_EQ(tokenizer->decode(tokens), all_bytes());
  EXPECT_EQ(tokenizer->first_invalid(all_bytes()), std::nullopt);
}

TEST(Bytes, TheTokenAfterTheLastIsRefused) {
  const auto tokenizer = make_tokenizer("bytes");
  EXPECT_EQ(tokenizer->token_bytes(255), "\xff");
  EXPECT_ERROR(tokenizer->token_bytes(256), ErrorKind::corrupt, "token 256", "256", "bytes");
}

TEST_F(SentencePiece, TextComesBackUnchanged) {
  const auto tokenizer = model();
  EXPECT_EQ(tokenizer->vocab_size(), 400U);
  EXPECT_EQ(tokenizer->decode(tokenizer->encode(kAwkwardText)), kAwkwardText);
  EXPECT_EQ(tokenizer->encode(""), std::vector<std::uint32_t>{});
}

TEST_F(SentencePiece, TextOfItsTrainingTakesFewerTokensThanBytes) {
  const std::string text = "the dog and the fox";
  EXPECT_LT(model()->encode(text).size(), text.size() / 2);
}

TEST_F(SentencePiece, LinesEncodedAloneGiveTheTokensOfTheWholeText) {
  const auto tokenizer = model();
  const std::string first = " The quick brown fox \n";
  const std::string second = " of times\n";
  std::vector<std::uint32_t> parts = tokenizer->encode(first);
  for (const std::uint32_t token : tokenizer->encode(second)) parts.push_back(token);
  EXPECT_EQ(parts, tokenizer->encode(first + second));
}

// The bytes of kSpaceSign stand for the sign; a space must have its piece, however rare it is.
TEST_F(SentencePiece, TextComesBackFromAModelOfTextWithoutSpaces) {
  std::string rare = "one space\n";
  for (int i = 0; i < 30000; ++i) rare += "abcabd\n";
  const std::pair<std::string, std::uint32_t> cases[] = {{"abc\nabcabc\n", 264}, {rare, 266}};
  for (const auto& [training, vocab_size] : cases) {
    write_text(*scratch_ / "spaceless.txt", training);
    train_tokenizer({.texts = {*scratch_ / "spaceless.txt"},
                     .vocab_size = vocab_size,
                     .out_prefix = *scratch_ / "spaceless"});
    const auto tokenizer = make_tokenizer(*scratch_ / "spaceless.model");
    for (const std::string text : {"ab c  d", " ", "  a\n b ", kAwkwardText}) {
      EXPECT_EQ(tokenizer->decode(tokenizer->encode(text)), text);
    }
  }
}

TEST_F(SentencePiece, TextWithoutAnythingToLearnFromIsRefusedWithTheReason) {
  for (const std::string text : {"", "\n\n"}) {
    write_text(*scratch_ / "none.txt", text);
    EXPECT_ERROR(train_tokenizer({.texts = {*scratch_ / "none.txt"},
                                  .vocab_size = 300,
                                  .out_prefix = *scratch_ / "none"}),
                 ErrorKind::corrupt, "there is no text in the input");
  }
}

TEST_F(SentencePiece, TheSameTextGivesTheSameModel) {
  train_tokenizer(
      {.texts = {*scratch_ / "text.txt"}, .vocab_size = 400, .out_prefix = *scratch_ / "again"});
  EXPECT_EQ(read_text(*scratch_ / "model.model"), read_text(*scratch_ / "again.model"));
}

TEST_F(SentencePiece, BytesThatAreNotUtf8AreRefusedWithTheirOffset) {
  const auto tokenizer = model();
  EXPECT_EQ(tokenizer->first_invalid("abc\xff"), 3U);
  EXPECT_ERROR(tokenizer->encode("abc\xff"), ErrorKind::corrupt, "0xff", "offset 3", "UTF-8");
}

TEST_F(SentencePiece, TheTokenAfterTheLastIsRefused) {
  const auto tokenizer = model();
  tokenizer->token_bytes(399);
  EXPECT_ERROR(tokenizer->token_bytes(400), ErrorKind::corrupt, "token 400", "model.model");
}

TEST_F(SentencePiece, AFileThatIsNoModelIsNamed) {
  write_text(*scratch_ / "garbage", "this is no model");
  EXPECT_ERROR(make_tokenizer(*scratch_ / "garbage"), ErrorKind::corrupt, "garbage",
               "not a SentencePiece model");
  write_text(*scratch_ / "empty", "");
  EXPECT_ERROR(make_tokenizer(*scratch_ / "empty"), ErrorKind::corrupt, "empty");
  EXPECT_ERROR(make_tokenizer(*scratch_ / "absent"), ErrorKind::io, "absent");
}

TEST_F(SentencePiece, AModelCutShortIsRefused) {
  const std::string whole = read_text(*scratch_ / "model.model");
  write_text(*scratch_ / "cut", whole.substr(0, whole.size() / 2));
  EXPECT_ERROR(make_tokenizer(*scratch_ / "cut"), ErrorKind::corrupt, "cut");
}

TEST_F(SentencePiece, AVocabularyThatTheTextCannotFillIsRefused) {
  EXPECT_ERROR(train_tokenizer({.texts = {*scratch_ / "text.txt"},
                                .vocab_size = 100000,
                                .out_prefix = *scratch_ / "none"}),
               ErrorKind::usage, "a vocabulary of 100000", "too high");
  EXPECT_FALSE(std::filesystem::exists(*scratch_ / "none.model"));
}

TEST_F(SentencePiece, MoreTextThanTheLimitIsThinnedOut) {
  const std::uint64_t whole = std::filesystem::file_size(*scratch_ / "text.txt");
  const auto train_on = [&](std::uint64_t most) {
    return train_tokenizer({.texts = {*scratch_ / "text.txt"},
                            .vocab_size = 300,
                            .out_prefix = *scratch_ / "thin",
                            .max_training_bytes = most})
        .text_bytes;
  };
  const std::uint64_t newlines = 100;
  EXPECT_EQ(train_on(whole), whole - newlines);
  EXPECT_LE(train_on(whole / 2), whole / 2);
  EXPECT_GE(train_on(whole / 2), whole / 4);
}

TEST(StreamDecoder, HoldsACharacterBackUntilItIsComplete) {
  const auto tokenizer = make_tokenizer("bytes");
  StreamDecoder decoder(*tokenizer);
  EXPECT_EQ(decoder.push('a'), "a");
  EXPECT_EQ(decoder.push(0xe2), "");
  EXPECT_EQ(decoder.push(0x82), "");
  EXPECT_EQ(decoder.push(0xac), "\xe2\x82\xac");
  EXPECT_EQ(decoder.finish(), "");
}

TEST(StreamDecoder, GivesOutWhatCanBecomeNoCharacter) {
  const auto tokenizer = make_tokenizer("bytes");
  StreamDecoder decoder(*tokenizer);
  EXPECT_EQ(decoder.push(0xff), "\xff");
  EXPECT_EQ(decoder.push(0xe2), "");
  EXPECT_EQ(decoder.push('a'),
            "\xe2"
            "a");
  EXPECT_EQ(decoder.push(0xc3), "");
  EXPECT_EQ(decoder.finish(), "\xc3");
}

TEST_F(SentencePiece, AStreamOfTokensGivesTheTextOfAllOfThem) {
  const auto tokenizer = model();
  StreamDecoder decoder(*tokenizer);
  std::string text;
  for (const std::uint32_t token : tokenizer->encode(kAwkwardText)) text += decoder.push(token);
  EXPECT_EQ(text + decoder.finish(), kAwkwardText);
}

}  // namespace
}  // namespace ptrain::data
