#include "libcommon/data/utf8.h"

#include <algorithm>

namespace ptrain::data {
namespace {

struct Character {
  std::size_t size = 0;   // bytes of the whole character; 0: no character begins like this
  std::size_t valid = 0;  // bytes of it that are there and may stand where they do
};

// The table "Well-Formed UTF-8 Byte Sequences" of the Unicode standard (3.9, table 3-7): what
// the first byte says of the length, and of the range of the second byte.
Character read_character(std::string_view text) {
  const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(text[i]); };
  const unsigned first = byte(0);
  if (first < 0x80) return {1, 1};
  if (first < 0xc2 || first > 0xf4) return {};
  const std::size_t size = first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4;
  const unsigned second_min = first == 0xe0 ? 0xa0 : first == 0xf0 ? 0x90 : 0x80;
  const unsigned second_max = first == 0xed ? 0x9f : first == 0xf4 ? 0x8f : 0xbf;
  std::size_t valid = 1;
  for (; valid < std::min(size, text.size()); ++valid) {
    const unsigned min = valid == 1 ? second_min : 0x80;
    const unsigned max = valid == 1 ? second_max : 0xbf;
    if (byte(valid) < min || byte(valid) > max) return {size, valid};
  }
  return {size, valid};
}

}  // namespace

std::optional<std::size_t> first_invalid_utf8(std::string_view text) {
  for (std::size_t i = 0; i < text.size();) {
    const Character character = read_character(text.substr(i));
    if (character.size == 0 || character.valid < character.size) return i;
    i += character.size;
  }
  return std::nullopt;
}

std::size_t incomplete_utf8_tail(std::string_view text) {
  for (std::size_t tail = 1; tail < kMaxUtf8Bytes && tail <= text.size(); ++tail) {
    const std::string_view end = text.substr(text.size() - tail);
    const Character character = read_character(end);
    if (character.size > tail && character.valid == tail) return tail;
  }
  return 0;
}

}  // namespace ptrain::data
