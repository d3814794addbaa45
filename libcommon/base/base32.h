// Bytes as lower-case base32 (RFC 4648's alphabet, without padding): what a shell, a host
// name and a person who reads aloud all pass on unharmed.

#pragma once

#include <cstddef>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace ptrain {

// Five bits a character, most significant first; the last one is filled up with zeros.
std::string to_base32(std::span<const std::byte> bytes);

// The inverse, for a text that encodes exactly `size` bytes. Empty for any other text, also
// for one whose unused last bits are not zero: every value has one spelling.
std::optional<std::vector<std::byte>> from_base32(std::string_view text, std::size_t size);

}  // namespace ptrain
