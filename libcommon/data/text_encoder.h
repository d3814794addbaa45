// The tokens of texts that come in blocks, each as if the whole text were encoded at once.
//
// A tokenizer need not give the blocks of a text the tokens that the text has: one puts a space
// before what it encodes. So a block is encoded up to the last place where its tokenizer lets a
// text be cut, and the rest waits for what follows it. A text that offers no such place for
// kMaxUncutBytes is cut there all the same, between two characters.
//
// One thread at a time; the tokenizer outlives the object. Throws what Tokenizer::encode() throws.

#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "libcommon/data/tokenizer.h"

namespace ptrain::data {

inline constexpr std::size_t kMaxUncutBytes = std::size_t{4} << 20;

class TextEncoder {
 public:
  explicit TextEncoder(const Tokenizer& tokenizer) : tokenizer_(tokenizer) {}

  // The next block of the text, of whole characters; the tokens that are settled with it.
  std::vector<std::uint32_t> push(std::string_view block);
  // The last tokens of the text. The next block begins another one.
  std::vector<std::uint32_t> finish();

 private:
  std::vector<std::uint32_t> take(std::size_t bytes);

  const Tokenizer& tokenizer_;
  std::string waiting_;
  bool begun_ = false;
};

}  // namespace ptrain::data
