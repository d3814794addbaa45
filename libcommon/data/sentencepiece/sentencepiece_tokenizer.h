// A SentencePiece model as a Tokenizer (tokenizer.h).
//
// Text is encoded line by line: the time that SentencePiece takes grows faster than the text
// (1 MiB at once: 1.1 MB/s, by lines: 3.5 MB/s), and text comes in blocks that end with lines.
//
// SentencePiece puts a space before what it encodes and takes it away when it decodes, if
// the model says so; before every line that is a space too many. So where the model lets a
// newline stand for itself, a line is encoded as if it followed one, and decoding gives back
// exactly what was encoded. Models that turn newlines into spaces are used as they are.

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
  std::string_view token_bytes(std::uint32_t token) const override;

 private:
  struct Model;
  void append_line(std::string_view line, std::vector<std::uint32_t>& tokens) const;

  std::string name_;
  std::unique_ptr<const Model> model_;
  std::vector<std::string> bytes_;  // of each token
  std::vector<int> after_newline_;  // the tokens of "\n", taken away again; empty: none is put
};

}  // namespace ptrain::data
