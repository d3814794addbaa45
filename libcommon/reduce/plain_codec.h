// Elements one after another, as float32 or as bfloat16.

#pragma once

#include "libcommon/reduce/edge_codec.h"

namespace ptrain::reduce {

class Fp32Codec final : public EdgeCodec {
 public:
  std::string_view name() const override { return "fp32"; }
  bool lossless() const override { return true; }
  ByteCount encoded_size(std::uint64_t elements) const override { return ByteCount(4 * elements); }

 private:
  std::optional<std::uint64_t> do_encode(std::span<const float> values,
                                         std::span<std::byte> out) const override;
  void do_decode(std::span<const std::byte> bytes, std::span<float> out) const override;
  void do_decode_add(std::span<const std::byte> bytes, std::span<float> sum) const override;
  std::optional<std::string> flaw_within(std::span<const std::byte> bytes,
                                         std::uint64_t elements) const override;
};

class Bf16Codec final : public EdgeCodec {
 public:
  std::string_view name() const override { return "bf16"; }
  ByteCount encoded_size(std::uint64_t elements) const override { return ByteCount(2 * elements); }

 private:
  std::optional<std::uint64_t> do_encode(std::span<const float> values,
                                         std::span<std::byte> out) const override;
  void do_decode(std::span<const std::byte> bytes, std::span<float> out) const override;
  void do_decode_add(std::span<const std::byte> bytes, std::span<float> sum) const override;
  std::optional<std::string> flaw_within(std::span<const std::byte> bytes,
                                         std::uint64_t elements) const override;
};

}  // namespace ptrain::reduce
