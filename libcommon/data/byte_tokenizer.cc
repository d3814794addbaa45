#include "libcommon/data/byte_tokenizer.h"

#include <algorithm>
#include <array>

namespace ptrain::data {
namespace {

constexpr std::array<char, 256> kBytes = [] {
  std::array<char, 256> bytes{};
  for (std::size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<char>(i);
  return bytes;
}();

}  // namespace

std::vector<std::uint32_t> ByteTokenizer::encode(std::string_view text) const {
  std::vector<std::uint32_t> tokens(text.size());
  std::transform(text.begin(), text.end(), tokens.begin(),
                 [](char c) { return static_cast<unsigned char>(c); });
  return tokens;
}

std::string_view ByteTokenizer::token_bytes(std::uint32_t token) const {
  require_in_vocabulary(token);
  return {&kBytes[token], 1};
}

}  // namespace ptrain::data
