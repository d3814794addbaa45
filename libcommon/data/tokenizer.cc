#include "libcommon/data/tokenizer.h"

#include <utility>

#include <fmt/format.h>

#include "libcommon/base/error.h"
#include "libcommon/data/utf8.h"

namespace ptrain::data {

std::string Tokenizer::decode(std::span<const std::uint32_t> tokens) const {
  std::string text = decode_on(tokens);
  if (text.starts_with(text_prefix())) text.erase(0, text_prefix().size());
  return text;
}

std::string Tokenizer::decode_on(std::span<const std::uint32_t> tokens) const {
  std::string text;
  for (const std::uint32_t token : tokens) text += token_bytes(token);
  return text;
}

void Tokenizer::require_in_vocabulary(std::uint32_t token) const {
  if (token < vocab_size()) return;
  throw Error(ErrorKind::corrupt,
              fmt::format("token {} is not below {}, the vocabulary size of tokenizer {}", token,
                          vocab_size(), name()),
              "decode with the tokenizer that the text was encoded with");
}

std::string StreamDecoder::push(std::uint32_t token) {
  pending_ += tokenizer_.token_bytes(token);
  const std::size_t held_back = incomplete_utf8_tail(pending_);
  std::string text = pending_.substr(0, pending_.size() - held_back);
  pending_.erase(0, text.size());
  return text;
}

std::string StreamDecoder::finish() { return std::exchange(pending_, {}); }

}  // namespace ptrain::data
