// A SentencePiece model as a Tokenizer (tokenizer.h): the ids of the SentencePiece library itself.
//
// A long text is given to the library in segments: the time that it takes grows faster than a
// text (1 MiB at once: 1.1 MB/s). A segment ends where no piece of the model reaches over: before a
// space, or before a newline, that follows a letter or sign. Merging pairs and finding the best
// path then both fall apart into what lies on either side, so the tokens are those of the whole.
// What follows a cut is encoded behind kAnchor, whose own tokens are taken away again: so the
// library neither puts a space before it nor strips one. Of a unigram model, which adds up
// single-precision scores from the beginning of what it is given, that holds but for ties.
//
// A model that lets pieces reach over spaces and newlines both gives no place to cut.

#pragma once

#include <memory>

#include "libcommon/data/tokenizer.h"

namespace ptrain::data {

class SentencePieceTokenizer final : public Tokenizer {
 public:
  // Throws Error(io) when the model cannot be read, Error(corrupt) when it is none.
  explicit SentencePieceTokenizer(const std::string& model_path);
  ~SentencePieceTokenizer() override;

  const std::string& name() const override { return name_; }
  std::uint32_t vocab_size() const override;
  // SentencePiece would replace what is not UTF-8 without a word.
  std::optional<std::size_t> first_invalid(std::string_view text) const override;
  std::vector<std::uint32_t> encode(std::string_view text) const override;
  std::vector<std::uint32_t> encode_on(std::string_view text) const override;
  std::size_t last_cut(std::string_view text) const override;
  std::string_view text_prefix() const override { return text_prefix_; }
  std::string_view token_bytes(std::uint32_t token) const override;

 private:
  struct Model;
  void require_utf8(std::string_view text) const;
  void find_cuts();
  bool may_cut(std::string_view text, std::size_t offset) const;
  std::size_t first_cut(std::string_view text) const;
  void append_segments(std::string_view text, std::vector<std::uint32_t>& tokens) const;
  void append_behind_anchor(std::string_view segment, std::vector<std::uint32_t>& tokens) const;

  std::string name_;
  std::unique_ptr<const Model> model_;
  std::vector<std::string> bytes_;  // of each token
  std::vector<int> anchor_;         // the tokens of kAnchor
  std::string text_prefix_;
  bool cuts_at_space_ = false;
  bool cuts_at_newline_ = false;
};

}  // namespace ptrain::data
