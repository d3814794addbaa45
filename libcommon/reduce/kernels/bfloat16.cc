// bfloat16: the upper half of a float32.

#include "libcommon/reduce/kernels/instruction_set.h"

namespace ptrain::reduce::PTRAIN_ISA {
namespace {

constexpr std::uint32_t kLargestFinite = 0x7f7f;

PTRAIN_INLINE float widened(std::uint16_t bits) {
  return __builtin_bit_cast(float, static_cast<std::uint32_t>(bits) << 16);
}

}  // namespace

void to_bf16(const float* __restrict from, std::byte* __restrict to, std::size_t size) {
  for (std::size_t i = 0; i < size; ++i) {
    const auto bits = __builtin_bit_cast(std::uint32_t, from[i]);
    const std::uint32_t rounded = (bits + 0x7fffU + ((bits >> 16) & 1U)) >> 16;
    const std::uint32_t sign = rounded & 0x8000U;
    const std::uint32_t size_bits = rounded & 0x7fffU;
    const std::uint32_t finite = size_bits < kLargestFinite ? size_bits : kLargestFinite;
    store(to, i, static_cast<std::uint16_t>(sign | finite));
  }
}

void from_bf16(const std::byte* __restrict from, float* __restrict to, std::size_t size) {
  for (std::size_t i = 0; i < size; ++i) to[i] = widened(load<std::uint16_t>(from, i));
}

void add_bf16(const std::byte* __restrict from, float* __restrict to, std::size_t size) {
  for (std::size_t i = 0; i < size; ++i) to[i] += widened(load<std::uint16_t>(from, i));
}

std::int32_t largest_magnitude_bf16(const std::byte* from, std::size_t size) {
  std::int16_t largest = 0;
  for (std::size_t i = 0; i < size; ++i) {
    const auto bits = static_cast<std::int16_t>(load<std::uint16_t>(from, i) & 0x7fff);
    largest = bits > largest ? bits : largest;
  }
  return largest;
}

}  // namespace ptrain::reduce::PTRAIN_ISA
