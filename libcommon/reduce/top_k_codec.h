// The largest elements of each kBlockElements, in 2 bits.
//
// Of a block of n elements the k = n / 64, rounded up, of largest magnitude are kept, of equal ones
// the first. Its bytes are two float32 levels, the lower first; k positions of 12 bits, ascending;
// and k codes of 2 bits, the sign and which level: positions and codes fill bytes from their low
// bits. A position that repeats the one before it is none: there were fewer elements than k that
// are not 0. Where there was none at all, both levels are 0.

#pragma once

#include "libcommon/reduce/edge_codec.h"

namespace ptrain::reduce {

class TopKCodec final : public EdgeCodec {
 public:
  static constexpr std::uint64_t kKeptOneIn = 64;

  std::string_view name() const override { return "top_k"; }
  ByteCount encoded_size(std::uint64_t elements) const override;

 private:
  std::optional<std::uint64_t> do_encode(std::span<const float> values,
                                         std::span<std::byte> out) const override;
  void do_decode(std::span<const std::byte> bytes, std::span<float> out) const override;
  void do_decode_add(std::span<const std::byte> bytes, std::span<float> sum) const override;
  std::optional<std::string> flaw_within(std::span<const std::byte> bytes,
                                         std::uint64_t elements) const override;
};

}  // namespace ptrain::reduce
