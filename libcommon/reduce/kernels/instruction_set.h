// For kernel sources only: what they define within their instruction set's namespace, and how they
// read floats at any address. Nothing here, nor what they call, may become a function of its own
// that could be linked into the code for an older processor.

#pragma once

#include "libcommon/reduce/kernels/kernels.h"

namespace ptrain::reduce::PTRAIN_ISA {

void sum(const std::byte* a, const std::byte* b, std::byte* sum, std::size_t size);
void add(const std::byte* from, float* to, std::size_t size);
void keep_lost(const float* sent, float kept, float* residual, std::size_t size);
std::int32_t largest_magnitude(const std::byte* from, std::size_t size);

void to_bf16(const float* from, std::byte* to, std::size_t size);
void from_bf16(const std::byte* from, float* to, std::size_t size);
void add_bf16(const std::byte* from, float* to, std::size_t size);
std::int32_t largest_magnitude_bf16(const std::byte* from, std::size_t size);

std::size_t to_int8(const float* from, std::byte* scales, std::byte* to, std::size_t size);
void from_int8(const std::byte* scales, const std::byte* from, float* to, std::size_t size);
void add_int8(const std::byte* scales, const std::byte* from, float* to, std::size_t size);
std::size_t to_int4(const float* from, std::byte* scales, std::byte* to, std::size_t size);
void from_int4(const std::byte* scales, const std::byte* from, float* to, std::size_t size);
void add_int4(const std::byte* scales, const std::byte* from, float* to, std::size_t size);

void difference(const float* a, const float* b, float* to, std::size_t size);
void nesterov(const NesterovFactors& factors, const float* sum, float* anchor, float* velocity,
              std::size_t size);
void mix(const float* from, float kept, float taken, float* to, std::size_t size);

#define PTRAIN_INLINE inline __attribute__((always_inline))

template <class T>
PTRAIN_INLINE T load(const std::byte* from, std::size_t i) {
  T value;
  __builtin_memcpy(&value, from + i * sizeof value, sizeof value);
  return value;
}

template <class T>
PTRAIN_INLINE void store(std::byte* to, std::size_t i, T value) {
  __builtin_memcpy(to + i * sizeof value, &value, sizeof value);
}

PTRAIN_INLINE std::int32_t magnitude(float x) {
  return __builtin_bit_cast(std::int32_t, x) & 0x7fffffff;
}

}  // namespace ptrain::reduce::PTRAIN_ISA
