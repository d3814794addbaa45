#include "libcommon/base/base32.h"

namespace ptrain {
namespace {

constexpr std::string_view kAlphabet = "abcdefghijklmnopqrstuvwxyz234567";
constexpr unsigned kBitsPerChar = 5;

}  // namespace

std::string to_base32(std::span<const std::byte> bytes) {
  std::string text;
  text.reserve((bytes.size() * 8 + kBitsPerChar - 1) / kBitsPerChar);
  unsigned held = 0;
  unsigned held_bits = 0;
  for (const std::byte byte : bytes) {
    held = (held << 8) | std::to_integer<unsigned>(byte);
    held_bits += 8;
    while (held_bits >= kBitsPerChar) {
      held_bits -= kBitsPerChar;
      text.push_back(kAlphabet[(held >> held_bits) & 31]);
    }
  }
  if (held_bits > 0) text.push_back(kAlphabet[(held << (kBitsPerChar - held_bits)) & 31]);
  return text;
}

std::optional<std::vector<std::byte>> from_base32(std::string_view text, std::size_t size) {
  if (text.size() != (size * 8 + kBitsPerChar - 1) / kBitsPerChar) return std::nullopt;
  std::vector<std::byte> bytes;
  bytes.reserve(size);
  unsigned held = 0;
  unsigned held_bits = 0;
  for (const char c : text) {
    const std::size_t value = kAlphabet.find(c);
    if (value == std::string_view::npos) return std::nullopt;
    held = (held << kBitsPerChar) | static_cast<unsigned>(value);
    held_bits += kBitsPerChar;
    if (held_bits < 8) continue;
    held_bits -= 8;
    bytes.push_back(static_cast<std::byte>(held >> held_bits));
  }
  const unsigned unused = held & ((1u << held_bits) - 1);
  if (bytes.size() != size || unused != 0) return std::nullopt;
  return bytes;
}

}  // namespace ptrain
