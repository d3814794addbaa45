#include "libcommon/reduce/integer_codec.h"

#include <cmath>
#include <cstring>

#include <fmt/format.h>

#include "libcommon/reduce/chunking.h"
#include "libcommon/reduce/kernels/kernels.h"

namespace ptrain::reduce {
namespace {

static_assert(kBlockElements % kIntegerBlock == 0);

std::uint64_t blocks_of(std::uint64_t elements) {
  return (elements + kIntegerBlock - 1) / kIntegerBlock;
}

std::uint64_t scale_bytes(std::uint64_t elements) { return blocks_of(elements) * sizeof(float); }

}  // namespace

ByteCount IntegerCodec::encoded_size(std::uint64_t elements) const {
  // Half of a whole block is whole, so only the last block has a byte of one element.
  const std::uint64_t bytes = width_ == Width::int8 ? elements : (elements + 1) / 2;
  return ByteCount(scale_bytes(elements) + bytes);
}

std::optional<std::uint64_t> IntegerCodec::do_encode(std::span<const float> values,
                                                     std::span<std::byte> out) const {
  const auto to = width_ == Width::int8 ? kernels().to_int8 : kernels().to_int4;
  const std::size_t bad =
      to(values.data(), out.data(), out.data() + scale_bytes(values.size()), values.size());
  if (bad == values.size()) return std::nullopt;
  return bad + first_not_finite(values.subspan(bad)).value_or(0);
}

void IntegerCodec::do_decode(std::span<const std::byte> bytes, std::span<float> out) const {
  const auto from = width_ == Width::int8 ? kernels().from_int8 : kernels().from_int4;
  from(bytes.data(), bytes.data() + scale_bytes(out.size()), out.data(), out.size());
}

void IntegerCodec::do_decode_add(std::span<const std::byte> bytes, std::span<float> sum) const {
  const auto add = width_ == Width::int8 ? kernels().add_int8 : kernels().add_int4;
  add(bytes.data(), bytes.data() + scale_bytes(sum.size()), sum.data(), sum.size());
}

std::optional<std::string> IntegerCodec::flaw_within(std::span<const std::byte> bytes,
                                                     std::uint64_t elements) const {
  const float most = width_ == Width::int8 ? kLargestInt8Scale : kLargestInt4Scale;
  for (std::uint64_t b = 0; b < blocks_of(elements); ++b) {
    float scale = 0;
    std::memcpy(&scale, bytes.data() + b * sizeof scale, sizeof scale);
    if (scale >= 0 && scale <= most) continue;
    return fmt::format("the scale of block {} is {}; 0 to {} expected", b, scale, most);
  }
  return std::nullopt;
}

}  // namespace ptrain::reduce
