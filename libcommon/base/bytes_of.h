// A text as the bytes that hold it, which stay the text's own: for hashes, signatures and files.

#pragma once

#include <cstddef>
#include <span>
#include <string_view>

namespace ptrain {

inline std::span<const std::byte> bytes_of(std::string_view text) {
  return std::as_bytes(std::span(text));
}

}  // namespace ptrain
