// Blocks of int8 and int4 with a scale.

#include "libcommon/reduce/kernels/instruction_set.h"

namespace ptrain::reduce::PTRAIN_ISA {
namespace {

// Added to a number below 2^22, it leaves the nearest integer, ties to even, in the low bits.
constexpr float kRounder = 0x1.8p23F;

PTRAIN_INLINE std::int32_t nearest(float x) {
  return __builtin_bit_cast(std::int32_t, x + kRounder);
}

struct Scale {
  float value;
  float inverse;
};

PTRAIN_INLINE Scale scale_of(std::int32_t largest_bits, float levels, float most) {
  const auto largest = __builtin_bit_cast(float, largest_bits);
  if (largest < kSmallestEncoded) return {0.0F, 0.0F};
  const float scale = largest / levels;
  return {scale < most ? scale : most, levels / largest};
}

PTRAIN_INLINE std::int32_t largest_of(const float* from, std::size_t size) {
  std::int32_t largest = 0;
  for (std::size_t i = 0; i < size; ++i) {
    const std::int32_t bits = magnitude(from[i]);
    largest = bits > largest ? bits : largest;
  }
  return largest;
}

PTRAIN_INLINE void quantise8(const float* __restrict from, std::size_t size, float inverse,
                             std::byte* __restrict to) {
  for (std::size_t i = 0; i < size; ++i) {
    to[i] = static_cast<std::byte>(nearest(from[i] * inverse) & 255);
  }
}

PTRAIN_INLINE std::int32_t nibble(float x) { return (nearest(x) + 8) & 15; }

// Beyond the block's end there is a zero, which is 8.
PTRAIN_INLINE void quantise4(const float* __restrict from, std::size_t size, float inverse,
                             std::byte* __restrict to) {
  const std::size_t half = (size + 1) / 2;
  for (std::size_t i = 0; i < size / 2; ++i) {
    to[i] =
        static_cast<std::byte>(nibble(from[i] * inverse) | (nibble(from[i + half] * inverse) << 4));
  }
  if (size % 2 != 0) {
    to[half - 1] = static_cast<std::byte>(nibble(from[half - 1] * inverse) | (8 << 4));
  }
}

// at(i, value of element i)
template <class At>
PTRAIN_INLINE void dequantise8(const std::byte* from, std::size_t size, float scale, const At& at) {
  for (std::size_t i = 0; i < size; ++i) {
    at(i, static_cast<float>(static_cast<std::int8_t>(from[i])) * scale);
  }
}

template <class At>
PTRAIN_INLINE void dequantise4(const std::byte* from, std::size_t size, float scale, const At& at) {
  const std::size_t half = (size + 1) / 2;
  for (std::size_t i = 0; i < half; ++i) {
    at(i, static_cast<float>((static_cast<std::int32_t>(from[i]) & 15) - 8) * scale);
  }
  for (std::size_t i = 0; i < size / 2; ++i) {
    at(i + half, static_cast<float>((static_cast<std::int32_t>(from[i]) >> 4) - 8) * scale);
  }
}

// block(first element, elements, number) for every block; the full ones have a constant size.
template <class Block>
PTRAIN_INLINE void for_each_block(std::size_t size, const Block& block) {
  const std::size_t whole = size / kIntegerBlock;
  for (std::size_t b = 0; b < whole; ++b) block(b * kIntegerBlock, kIntegerBlock, b);
  if (size % kIntegerBlock != 0) block(whole * kIntegerBlock, size % kIntegerBlock, whole);
}

template <class Quantise>
PTRAIN_INLINE std::size_t encode(const float* from, std::byte* scales, std::size_t size,
                                 float levels, float most, const Quantise& quantise) {
  std::size_t bad = size;
  for_each_block(size, [&](std::size_t first, std::size_t count, std::size_t b) {
    const std::int32_t largest = largest_of(from + first, count);
    if (largest >= kInfinityFp32) {
      bad = first < bad ? first : bad;
      return;
    }
    const Scale scale = scale_of(largest, levels, most);
    store(scales, b, scale.value);
    quantise(first, count, scale.inverse);
  });
  return bad;
}

}  // namespace

std::size_t to_int8(const float* __restrict from, std::byte* __restrict scales,
                    std::byte* __restrict to, std::size_t size) {
  return encode(from, scales, size, 127.0F, kLargestInt8Scale,
                [&](std::size_t first, std::size_t count, float inverse) {
                  quantise8(from + first, count, inverse, to + first);
                });
}

void from_int8(const std::byte* __restrict scales, const std::byte* __restrict from,
               float* __restrict to, std::size_t size) {
  for_each_block(size, [&](std::size_t first, std::size_t count, std::size_t b) {
    float* const block = to + first;
    dequantise8(from + first, count, load<float>(scales, b),
                [&](std::size_t i, float x) { block[i] = x; });
  });
}

void add_int8(const std::byte* __restrict scales, const std::byte* __restrict from,
              float* __restrict to, std::size_t size) {
  for_each_block(size, [&](std::size_t first, std::size_t count, std::size_t b) {
    float* const block = to + first;
    dequantise8(from + first, count, load<float>(scales, b),
                [&](std::size_t i, float x) { block[i] += x; });
  });
}

std::size_t to_int4(const float* __restrict from, std::byte* __restrict scales,
                    std::byte* __restrict to, std::size_t size) {
  return encode(from, scales, size, 7.0F, kLargestInt4Scale,
                [&](std::size_t first, std::size_t count, float inverse) {
                  quantise4(from + first, count, inverse, to + first / 2);
                });
}

void from_int4(const std::byte* __restrict scales, const std::byte* __restrict from,
               float* __restrict to, std::size_t size) {
  for_each_block(size, [&](std::size_t first, std::size_t count, std::size_t b) {
    float* const block = to + first;
    dequantise4(from + first / 2, count, load<float>(scales, b),
                [&](std::size_t i, float x) { block[i] = x; });
  });
}

void add_int4(const std::byte* __restrict scales, const std::byte* __restrict from,
              float* __restrict to, std::size_t size) {
  for_each_block(size, [&](std::size_t first, std::size_t count, std::size_t b) {
    float* const block = to + first;
    dequantise4(from + first / 2, count, load<float>(scales, b),
                [&](std::size_t i, float x) { block[i] += x; });
  });
}

}  // namespace ptrain::reduce::PTRAIN_ISA
