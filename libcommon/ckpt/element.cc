#include "libcommon/ckpt/element.h"

#include <bit>
#include <cstdint>
#include <cstring>

#include "libcommon/base/error.h"

namespace ptrain::ckpt {
namespace {

float from_bfloat16(std::uint16_t bits) {
  return std::bit_cast<float>(static_cast<std::uint32_t>(bits) << 16);
}

// IEEE 754 binary16: 1 bit of sign, 5 of exponent with bias 15, 10 of fraction.
float from_float16(std::uint16_t bits) {
  const std::uint32_t sign = static_cast<std::uint32_t>(bits & 0x8000u) << 16;
  const std::uint32_t exponent = (bits >> 10) & 0x1fu;
  const std::uint32_t fraction = bits & 0x3ffu;
  if (exponent == 0x1f) return std::bit_cast<float>(sign | 0x7f800000u | fraction << 13);
  if (exponent != 0)
    return std::bit_cast<float>(sign | (exponent + 127 - 15) << 23 | fraction << 13);
  const float magnitude = static_cast<float>(fraction) * 0x1p-24f;  // subnormal; exact
  return sign == 0 ? magnitude : -magnitude;
}

std::uint16_t to_bfloat16(float value) {
  const auto bits = std::bit_cast<std::uint32_t>(value);
  const bool nan = (bits & 0x7fffffffu) > 0x7f800000u;
  if (nan) return static_cast<std::uint16_t>(bits >> 16 | 0x40u);  // quiet, whatever is cut off
  const std::uint32_t half = 0x7fffu + (bits >> 16 & 1u);
  return static_cast<std::uint16_t>((bits + half) >> 16);
}

template <class Convert>
void widen_16(std::span<const std::byte> in, std::span<float> out, Convert&& convert) {
  for (std::size_t i = 0; i < out.size(); ++i) {
    std::uint16_t bits = 0;
    std::memcpy(&bits, in.data() + 2 * i, sizeof(bits));
    out[i] = convert(bits);
  }
}

}  // namespace

bool widens_to_float32(Dtype dtype) {
  return dtype == Dtype::f32 || dtype == Dtype::bf16 || dtype == Dtype::f16;
}

void widen(Dtype dtype, std::span<const std::byte> in, std::span<float> out) {
  if (!widens_to_float32(dtype) || in.size() != out.size() * element_bytes(dtype)) {
    throw Error(ErrorKind::internal, "widen " + std::string(dtype_name(dtype)));
  }
  if (out.empty()) return;
  if (dtype == Dtype::bf16) return widen_16(in, out, from_bfloat16);
  if (dtype == Dtype::f16) return widen_16(in, out, from_float16);
  std::memcpy(out.data(), in.data(), in.size());
}

void round_to_bfloat16(std::span<const float> in, std::span<std::byte> out) {
  for (std::size_t i = 0; i < in.size(); ++i) {
    const std::uint16_t bits = to_bfloat16(in[i]);
    std::memcpy(out.data() + 2 * i, &bits, sizeof(bits));
  }
}

}  // namespace ptrain::ckpt
