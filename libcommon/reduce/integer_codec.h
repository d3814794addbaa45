// Blocks of kIntegerBlock elements as int8 or int4 with a float32 scale each: first all scales,
// then all elements.

#pragma once

#include "libcommon/reduce/edge_codec.h"

namespace ptrain::reduce {

class IntegerCodec final : public EdgeCodec {
 public:
  enum class Width { int8, int4 };

  explicit IntegerCodec(Width width) : width_(width) {}

  std::string_view name() const override { return width_ == Width::int8 ? "int8" : "int4"; }
  ByteCount encoded_size(std::uint64_t elements) const override;

 private:
  std::optional<std::uint64_t> do_encode(std::span<const float> values,
                                         std::span<std::byte> out) const override;
  void do_decode(std::span<const std::byte> bytes, std::span<float> out) const override;
  void do_decode_add(std::span<const std::byte> bytes, std::span<float> sum) const override;
  std::optional<std::string> flaw_within(std::span<const std::byte> bytes,
                                         std::uint64_t elements) const override;

  Width width_;
};

}  // namespace ptrain::reduce
