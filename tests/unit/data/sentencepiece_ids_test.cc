// The ids of the SentencePiece library itself, for models of every kind, made here.

#include <algorithm>
#include <cctype>
#include <filesystem>
#include <memory>
#include <random>
#include <string>
#include <unordered_map>
#include <vector>

#include <fmt/format.h>
#include <gtest/gtest.h>
#include <sentencepiece_processor.h>
#include <sentencepiece_trainer.h>

#include "libcommon/data/text_encoder.h"
#include "tests/unit/data/scratch_directory.h"

namespace ptrain::data {
namespace {

struct Kind {
  const char* type;
  const char* normalization;
  bool dummy_prefix;
  bool remove_extra;
  bool byte_fallback;
  bool across_spaces;  // pieces may reach over spaces
  bool suffix;         // a space belongs to the word before it
};

const char* text_of(bool value) { return value ? "true" : "false"; }

std::string name_of(const Kind& kind) {
  return fmt::format("{} {} prefix={} remove={} bytes={} across={} suffix={}", kind.type,
                     kind.normalization, kind.dummy_prefix, kind.remove_extra, kind.byte_fallback,
                     kind.across_spaces, kind.suffix);
}

std::vector<Kind> all_kinds() {
  std::vector<Kind> kinds;
  for (const char* type : {"bpe", "unigram"}) {
    for (const char* normalization : {"identity", "nmt_nfkc"}) {
      for (int bits = 0; bits < 8; ++bits) {
        kinds.push_back(
            {type, normalization, (bits & 1) != 0, (bits & 2) != 0, (bits & 4) != 0, false, false});
      }
    }
  }
  kinds.push_back({"bpe", "identity", true, false, true, true, false});
  kinds.push_back({"bpe", "nmt_nfkc", true, true, false, false, true});
  return kinds;
}

std::vector<std::string> training_lines() {
  const std::vector<std::string> words{"the", "quick", "brown", "fox", "jumps", "over",   "lazy",
                                       "dog", "times", "best",  "of",  "wor",   "worsts", "age"};
  std::mt19937 random(1);
  std::vector<std::string> lines;
  for (int i = 0; i < 200; ++i) {
    std::string line;
    for (int w = 0; w < 10; ++w) line += words[random() % words.size()] + (w % 4 == 3 ? ", " : " ");
    lines.push_back(line + "end.");
  }
  return lines;
}

class Lines final : public sentencepiece::SentenceIterator {
 public:
  explicit Lines(const std::vector<std::string>& lines) : lines_(lines) {}
  bool done() const override { return at_ == lines_.size(); }
  void Next() override { ++at_; }
  const std::string& value() const override { return lines_[at_]; }
  sentencepiece::util::Status status() const override { return {}; }

 private:
  const std::vector<std::string>& lines_;
  std::size_t at_ = 0;
};

std::string trained(const Kind& kind) {
  const std::vector<std::string> lines = training_lines();
  Lines iterator(lines);
  std::string model;
  const auto status = sentencepiece::SentencePieceTrainer::Train(
      std::unordered_map<std::string, std::string>{
          {"model_type", kind.type},
          {"vocab_size", kind.byte_fallback ? "360" : "100"},
          {"hard_vocab_limit", "false"},
          {"normalization_rule_name", kind.normalization},
          {"add_dummy_prefix", text_of(kind.dummy_prefix)},
          {"remove_extra_whitespaces", text_of(kind.remove_extra)},
          {"byte_fallback", text_of(kind.byte_fallback)},
          {"split_by_whitespace", text_of(!kind.across_spaces)},
          {"treat_whitespace_as_suffix", text_of(kind.suffix)},
          {"num_threads", "1"},
          {"minloglevel", "2"}},
      &iterator, &model);
  EXPECT_TRUE(status.ok()) << status.ToString();
  return model;
}

const std::vector<std::string>& short_texts() {
  static const std::vector<std::string> texts{
      "",
      " ",
      "\n",
      "Hello world",
      "the quick brown fox",
      " the",
      "  the   quick  ",
      "the\n\n quick \n",
      "\nthe",
      "a",
      "\xc3\xa9t\xc3\xa9 \xe2\x82\xac 100",
      "\xef\xac\x81x \xef\xbc\xa1 \xe3\x80\x80 b",
      "x\xc2\xa0y\t z",
      "e\xcc\x81 \xcc\x81 a \xe2\x80\x8b b",
      "\xe4\xb8\x80\xe4\xba\x8c\xe3\x80\x82\n\xe4\xb8\x89",
  };
  return texts;
}

// Some segments long: words of the training and what tokenizers like to change.
std::string long_text(unsigned seed) {
  const std::vector<std::string> parts{
      "the",   "quick", "brown",        " ",        "  ",  "\n",        "\n\n",        "fox,",
      "over",  "lazy.", "zqx",          "\xc3\xa9", " ",   " ",         "\t",          " the ",
      "times", "wor",   "\xe3\x80\x80", "\xc2\xa0", " of", "e\xcc\x81", "\xe4\xb8\x80"};
  std::mt19937 random(seed);
  std::string text;
  while (text.size() < 60'000) text += parts[random() % parts.size()];
  return text;
}

class SentencePieceIds : public testing::TestWithParam<Kind> {
 protected:
  SentencePieceIds() {
    const std::string model = trained(GetParam());
    write_text(scratch_ / "m.model", model);
    EXPECT_TRUE(library_.LoadFromSerializedProto(model).ok());
    tokenizer_ = make_tokenizer(scratch_ / "m.model");
  }
  std::vector<std::uint32_t> library_ids(const std::string& text) const {
    std::vector<int> ids;
    EXPECT_TRUE(library_.Encode(text, &ids).ok());
    return {ids.begin(), ids.end()};
  }
  std::string library_text(const std::vector<std::uint32_t>& tokens) const {
    std::string text;
    EXPECT_TRUE(library_.Decode(std::vector<int>(tokens.begin(), tokens.end()), &text).ok());
    return text;
  }

  ScratchDirectory scratch_;
  sentencepiece::SentencePieceProcessor library_;
  std::unique_ptr<Tokenizer> tokenizer_;
};

TEST_P(SentencePieceIds, AreThoseOfTheLibraryForEveryText) {
  for (const std::string& text : short_texts()) {
    EXPECT_EQ(tokenizer_->encode(text), library_ids(text)) << '"' << text << '"';
  }
  const std::string text = long_text(7);
  EXPECT_TRUE(tokenizer_->encode(text) == library_ids(text));
}

TEST_P(SentencePieceIds, AreTheSameHoweverATextComesInBlocks) {
  for (const unsigned seed : {1U, 2U}) {
    const std::string text = long_text(seed);
    std::mt19937 random(seed);
    TextEncoder encoder(*tokenizer_);
    std::vector<std::uint32_t> tokens;
    const auto take = [&](const std::vector<std::uint32_t>& more) {
      tokens.insert(tokens.end(), more.begin(), more.end());
    };
    for (std::size_t at = 0; at < text.size();) {
      std::size_t end = std::min<std::size_t>(text.size(), at + 1 + random() % 9000);
      while (end < text.size() && (static_cast<unsigned char>(text[end]) & 0xc0) == 0x80) ++end;
      take(encoder.push(std::string_view(text).substr(at, end - at)));
      at = end;
    }
    take(encoder.finish());
    EXPECT_TRUE(tokens == library_ids(text));
    take(encoder.push("the"));
    EXPECT_TRUE(encoder.finish() == library_ids("the")) << "another text begins";
  }
}

// Without bytes for what is unknown the library writes unknown tokens otherwise; of the other kinds
// it takes away more than it put there.
bool decodes_as_the_library(const Kind& kind) {
  return kind.byte_fallback && !kind.suffix && (kind.dummy_prefix || !kind.remove_extra);
}

std::vector<Kind> kinds_that_decode_alike() {
  std::vector<Kind> kinds = all_kinds();
  std::erase_if(kinds, [](const Kind& kind) { return !decodes_as_the_library(kind); });
  return kinds;
}

class DecodedSentencePieceIds : public SentencePieceIds {};

TEST_P(DecodedSentencePieceIds, AreTheTextThatTheLibraryGives) {
  for (const std::string& text : short_texts()) {
    const auto ids = library_ids(text);
    EXPECT_EQ(tokenizer_->decode(ids), library_text(ids)) << '"' << text << '"';
    if (std::string(GetParam().normalization) == "identity" && !GetParam().remove_extra) {
      EXPECT_EQ(tokenizer_->decode(ids), text);
    }
  }
}

std::string test_name(const testing::TestParamInfo<Kind>& tested) {
  std::string name = name_of(tested.param);
  for (char& c : name) {
    if (std::isalnum(static_cast<unsigned char>(c)) == 0) c = '_';
  }
  return name;
}

INSTANTIATE_TEST_SUITE_P(Models, SentencePieceIds, testing::ValuesIn(all_kinds()), test_name);
INSTANTIATE_TEST_SUITE_P(Models, DecodedSentencePieceIds,
                         testing::ValuesIn(kinds_that_decode_alike()), test_name);

}  // namespace
}  // namespace ptrain::data
