#include "libcommon/base/printable.h"

#include <algorithm>
#include <cstdint>

#include <fmt/format.h>

namespace ptrain {
namespace {

struct Character {
  std::size_t bytes = 0;  // 0: what is there is not UTF-8
  std::uint32_t code = 0;
};

// RFC 3629: no surrogates, nothing beyond U+10FFFF, the shortest form only.
Character character_at(std::string_view text) {
  const auto byte = [&](std::size_t i) { return static_cast<std::uint8_t>(text[i]); };
  if (byte(0) < 0x80) return {1, byte(0)};
  std::size_t bytes = 0;
  std::uint32_t least = 0;
  if ((byte(0) & 0xe0) == 0xc0) {
    bytes = 2, least = 0x80;
  } else if ((byte(0) & 0xf0) == 0xe0) {
    bytes = 3, least = 0x800;
  } else if ((byte(0) & 0xf8) == 0xf0) {
    bytes = 4, least = 0x10000;
  }
  if (bytes == 0 || text.size() < bytes) return {};
  std::uint32_t code = byte(0) & (0xffu >> (bytes + 1));
  for (std::size_t i = 1; i < bytes; ++i) {
    if ((byte(i) & 0xc0) != 0x80) return {};
    code = code << 6 | (byte(i) & 0x3fu);
  }
  const bool is_surrogate = code >= 0xd800 && code < 0xe000;
  if (code < least || code > 0x10ffff || is_surrogate) return {};
  return {bytes, code};
}

// C0, DEL and C1, which terminals obey; the marks that turn the direction of writing, with which
// the rest of a line can be made to look like another.
bool is_obeyed(std::uint32_t code) {
  return code < 0x20 || (code >= 0x7f && code < 0xa0) || code == 0x2028 || code == 0x2029 ||
         code == 0x200e || code == 0x200f || (code >= 0x202a && code <= 0x202e) ||
         (code >= 0x2066 && code <= 0x2069);
}

}  // namespace

std::string printable(std::string_view text) {
  std::string result;
  result.reserve(text.size());
  while (!text.empty()) {
    const Character next = character_at(text);
    const std::size_t bytes = std::max<std::size_t>(next.bytes, 1);
    if (next.bytes == 0 || is_obeyed(next.code)) {
      for (const char each : text.substr(0, bytes)) {
        result += fmt::format("\\x{:02x}", static_cast<std::uint8_t>(each));
      }
    } else {
      result += text.substr(0, bytes);
    }
    text.remove_prefix(bytes);
  }
  return result;
}

}  // namespace ptrain
