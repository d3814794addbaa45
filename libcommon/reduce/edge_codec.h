// What a flat vector of float32 becomes on an edge of the tree: a filter with a name and an exact
// size. Stateless; any thread.
//
//   fp32   the bits of float32
//   bf16   round to nearest even; beyond the largest finite bfloat16, that
//   int8   blocks of 128 elements, each with a float32 scale: largest magnitude / 127
//   int4   the same in 15 levels: largest magnitude / 7; 4.25 bits an element
//   top_k  of 4096 elements the 64 of largest magnitude in 2 bits: their sign, and which of two
//          levels, the mean magnitude of those above and of those not above the mean of all 64
//          (statistical levels as in SparseLoCo, arXiv 2508.15706); 120 bytes, 1/136 of float32
//
// A codec works on blocks of at most kBlockElements, which begin at multiples of it: a vector may
// be encoded in parts that begin there, and the parts decode to what the whole decodes to. The same
// numbers become the same bytes on every processor (kernels/kernels.h).
//
// Subnormal numbers are numbers here, also where the calling thread takes them for zero.
//
// Elements that are infinite or no numbers are refused by encode(), and bytes that would decode to
// such by flaw_of(), so that whoever sent them can be named.

#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "libcommon/base/units.h"

namespace ptrain::reduce {

class EdgeCodec {
 public:
  virtual ~EdgeCodec() = default;

  virtual std::string_view name() const = 0;
  // Decoding gives the bits that were encoded.
  virtual bool lossless() const { return false; }
  virtual ByteCount encoded_size(std::uint64_t elements) const = 0;

  // `out` has encoded_size(values.size()) bytes. Returns the first element that is not finite;
  // then `out` is worth nothing.
  std::optional<std::uint64_t> encode(std::span<const float> values,
                                      std::span<std::byte> out) const;

  // What is wrong with bytes that claim to be so many elements; nullopt if nothing: another size,
  // or something in them that does not decode to finite numbers.
  std::optional<std::string> flaw_of(std::span<const std::byte> bytes,
                                     std::uint64_t elements) const;

  // Precondition of both: no flaw.
  void decode(std::span<const std::byte> bytes, std::span<float> out) const;
  // sum[i] += what decode() would give.
  void decode_add(std::span<const std::byte> bytes, std::span<float> sum) const;

 private:
  // The same, in a thread that keeps subnormal numbers; `bytes` have the right size.
  virtual std::optional<std::uint64_t> do_encode(std::span<const float> values,
                                                 std::span<std::byte> out) const = 0;
  virtual void do_decode(std::span<const std::byte> bytes, std::span<float> out) const = 0;
  virtual void do_decode_add(std::span<const std::byte> bytes, std::span<float> sum) const = 0;
  virtual std::optional<std::string> flaw_within(std::span<const std::byte> bytes,
                                                 std::uint64_t elements) const = 0;
};

// Appended to, never reordered.
enum class EdgeCodecKind : std::uint8_t { fp32, bf16, int8, int4, top_k };
inline constexpr std::uint8_t kEdgeCodecKinds = 5;

const EdgeCodec& edge_codec(EdgeCodecKind kind);

// The index of the first element that is infinite or no number.
std::optional<std::uint64_t> first_not_finite(std::span<const float> values);

}  // namespace ptrain::reduce
