// UTF-8 (RFC 3629), as far as tokenizers need it: is this text valid, and does a
// character begin here that is not complete yet? Pure functions over bytes.

#pragma once

#include <cstddef>
#include <optional>
#include <string_view>

namespace ptrain::data {

inline constexpr std::size_t kMaxUtf8Bytes = 4;  // of one character

// The offset of the first byte that does not belong to a valid character. A character that
// the end of the text cuts short is not valid.
std::optional<std::size_t> first_invalid_utf8(std::string_view text);

// How many bytes at the end of `text` may be the beginning of a character: 0 to 3.
std::size_t incomplete_utf8_tail(std::string_view text);

}  // namespace ptrain::data
