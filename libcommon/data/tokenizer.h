// Text to tokens and back.
//
// A tokenizer is immutable: any number of threads may use one. Every token stands for a
// fixed sequence of bytes, so text can be decoded token by token; StreamDecoder holds back
// the bytes of a character that is not complete yet.
//
// Of the tokenizers, `bytes` and the models that ptrain-data train-tokenizer makes give back
// the very text that they encoded. A model made elsewhere may normalise its text first, and may
// put a space before it, which decoding from the beginning takes away again.

#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "libcommon/base/sha256.h"

namespace ptrain::data {

class Tokenizer {
 public:
  virtual ~Tokenizer() = default;

  // What the tokenizer was made from: "bytes", or the path of a model.
  virtual const std::string& name() const = 0;
  // Tokens are 0 to vocab_size() - 1.
  virtual std::uint32_t vocab_size() const = 0;

  // Where in `text` the bytes begin that encode() refuses; nothing when it takes all of it.
  virtual std::optional<std::size_t> first_invalid(std::string_view text) const = 0;
  // The tokens of a whole text. Throws Error(corrupt) with the offset of first_invalid().
  virtual std::vector<std::uint32_t> encode(std::string_view text) const = 0;
  // Of the rest of a text that was cut at a last_cut(): with those of its beginning, the tokens of
  // the whole.
  virtual std::vector<std::uint32_t> encode_on(std::string_view text) const { return encode(text); }
  // The greatest offset in the beginning of a text where it can be cut so; 0 where there is none.
  virtual std::size_t last_cut(std::string_view text) const { return text.size(); }
  // What encode() puts before a text.
  virtual std::string_view text_prefix() const { return {}; }
  // What one token stands for; empty for control tokens. Throws Error(corrupt) for a token
  // beyond the vocabulary. The view lives as long as the tokenizer.
  virtual std::string_view token_bytes(std::uint32_t token) const = 0;

  // The text whose tokens these are, or the beginning of one.
  std::string decode(std::span<const std::uint32_t> tokens) const;
  // A part of a text, not its beginning.
  std::string decode_on(std::span<const std::uint32_t> tokens) const;

 protected:
  // What token_bytes() does first.
  void require_in_vocabulary(std::uint32_t token) const;
};

// From what --tokenizer takes: "bytes" (256 tokens, one a byte), or the path of a SentencePiece
// model. Throws Error(io) when the file cannot be read, Error(corrupt) when it is no model.
std::unique_ptr<Tokenizer> make_tokenizer(const std::string& spec);
// What tells two SentencePiece models apart: the SHA-256 of the file. Nothing for "bytes".
std::optional<Sha256Digest> tokenizer_digest(const std::string& spec);
// "bytes", or the beginning of the SHA-256, for people.
std::string tokenizer_text(const std::optional<Sha256Digest>& digest);

// Decodes what follows the beginning of a text, token by token, and gives out whole UTF-8
// characters only. Bytes that can no longer become a character are given out as they are. One
// thread at a time; the tokenizer must outlive it.
class StreamDecoder {
 public:
  explicit StreamDecoder(const Tokenizer& tokenizer) : tokenizer_(tokenizer) {}

  // The text that is complete with this token; may be empty.
  std::string push(std::uint32_t token);
  // What is left at the end: the bytes of a character that never became complete.
  std::string finish();

 private:
  const Tokenizer& tokenizer_;
  std::string pending_;
};

}  // namespace ptrain::data
