#include "libcommon/reduce/plain_codec.h"

#include <cstring>

#include <fmt/format.h>

#include "libcommon/reduce/kernels/kernels.h"

namespace ptrain::reduce {
namespace {

// The first element of which the magnitude's bits say that it is not finite.
template <class Bits>
std::string where_not_finite(std::span<const std::byte> bytes, Bits infinity) {
  std::size_t i = 0;
  for (; i * sizeof(Bits) < bytes.size(); ++i) {
    Bits bits;
    std::memcpy(&bits, bytes.data() + i * sizeof bits, sizeof bits);
    if ((bits & infinity) == infinity) break;
  }
  return fmt::format("element {} is infinite or not a number", i);
}

}  // namespace

std::optional<std::uint64_t> Fp32Codec::do_encode(std::span<const float> values,
                                                  std::span<std::byte> out) const {
  if (const auto bad = first_not_finite(values)) return bad;
  if (!values.empty()) std::memcpy(out.data(), values.data(), values.size_bytes());
  return std::nullopt;
}

void Fp32Codec::do_decode(std::span<const std::byte> bytes, std::span<float> out) const {
  if (!out.empty()) std::memcpy(out.data(), bytes.data(), out.size_bytes());
}

void Fp32Codec::do_decode_add(std::span<const std::byte> bytes, std::span<float> sum) const {
  kernels().add(bytes.data(), sum.data(), sum.size());
}

std::optional<std::string> Fp32Codec::flaw_within(std::span<const std::byte> bytes,
                                                  std::uint64_t elements) const {
  if (kernels().largest_magnitude(bytes.data(), elements) < kInfinityFp32) return std::nullopt;
  return where_not_finite<std::uint32_t>(bytes, kInfinityFp32);
}

std::optional<std::uint64_t> Bf16Codec::do_encode(std::span<const float> values,
                                                  std::span<std::byte> out) const {
  if (const auto bad = first_not_finite(values)) return bad;
  kernels().to_bf16(values.data(), out.data(), values.size());
  return std::nullopt;
}

void Bf16Codec::do_decode(std::span<const std::byte> bytes, std::span<float> out) const {
  kernels().from_bf16(bytes.data(), out.data(), out.size());
}

void Bf16Codec::do_decode_add(std::span<const std::byte> bytes, std::span<float> sum) const {
  kernels().add_bf16(bytes.data(), sum.data(), sum.size());
}

std::optional<std::string> Bf16Codec::flaw_within(std::span<const std::byte> bytes,
                                                  std::uint64_t elements) const {
  if (kernels().largest_magnitude_bf16(bytes.data(), elements) < kInfinityBf16) {
    return std::nullopt;
  }
  return where_not_finite<std::uint16_t>(bytes, kInfinityBf16);
}

}  // namespace ptrain::reduce
