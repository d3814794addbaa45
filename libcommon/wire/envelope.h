// Frames as bytes and back: the header part in Cap'n Proto (schemas/envelope.capnp).
//
// Decoding trusts nothing: the header is copied to aligned memory before it is
// read, its size, traversal and nesting are limited, every number is checked
// before it becomes an enum, and no length from the wire leads to an allocation.
// What does not fit is returned as Malformed, because strangers can cause it.

#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <variant>
#include <vector>

#include "libcommon/wire/frame.h"

namespace ptrain::wire {

inline constexpr std::uint32_t kMagic = 0x7074726e;
// Raised when a frame changes in a way that an older peer would misread.
inline constexpr std::uint16_t kProtocolVersion = 3;

inline constexpr std::size_t kMaxHeaderBytes = std::size_t{64} << 10;
inline constexpr std::size_t kMaxTraversalBytes = std::size_t{1} << 20;
inline constexpr int kMaxNesting = 16;
inline constexpr std::size_t kMaxTextBytes = 1024;  // run, job hash, fingerprint, reason
inline constexpr std::size_t kMaxTermsBytes = std::size_t{32} << 10;
inline constexpr std::size_t kMaxMessageBytes = std::size_t{1}
                                                << 40;  // sessions set their own, lower

struct Malformed {
  std::string why;
};

// A frame and its place among those of its connection, counted from 1.
struct NumberedFrame {
  Frame frame;
  std::uint64_t ordinal = 0;
};

// The header part of a frame. The payload of a Data frame is its second part, as it is.
// Throws Error(internal) when a text is longer than its limit. Precondition: flaw_of().
std::vector<std::byte> encode_header(const Frame& frame, std::uint64_t ordinal);

// A frame from its two parts; `payload` is empty for all but Data, and is not read here: its
// checksum is the receiver's to verify. A hello of another version is decoded as far as that
// version allows, so that the mismatch can be reported.
std::variant<NumberedFrame, Malformed> decode_frame(std::span<const std::byte> header,
                                                    Buffer payload);

}  // namespace ptrain::wire
