// Sixteen float32 at a time, with the compiler's vector extension: the same source becomes
// one AVX-512 register, two of AVX2 or four of SSE. For kernel sources only, which include
// it inside their instruction set's compilation; everything here is always inlined, so that
// no function compiled for a newer processor can be linked into an older one's path.

#pragma once

#include <cstdint>
#include <cstring>

#include "tools/stage/kernels/bfloat16.h"

#define PTRAIN_INLINE inline __attribute__((always_inline))

namespace ptrain::stage::kernels::PTRAIN_ISA {

using F32x16 = float __attribute__((vector_size(64)));
using I32x16 = std::int32_t __attribute__((vector_size(64)));
using U32x16 = std::uint32_t __attribute__((vector_size(64)));
using U16x16 = std::uint16_t __attribute__((vector_size(32)));
using F64x8 = double __attribute__((vector_size(64)));
using F32x8 = float __attribute__((vector_size(32)));

constexpr std::int64_t kLanes = 16;

template <class V>
PTRAIN_INLINE V load_bytes(const void* p) {
  V v;
  std::memcpy(&v, p, sizeof v);
  return v;
}

PTRAIN_INLINE F32x16 splat(float x) { return F32x16{} + x; }

PTRAIN_INLINE F32x16 widen(U16x16 bits) {
  return (F32x16)(__builtin_convertvector(bits, U32x16) << 16);
}

// To nearest, ties to even; a NaN stays a NaN.
PTRAIN_INLINE U16x16 narrow(F32x16 x) {
  const U32x16 bits = (U32x16)x;
  const U32x16 rounded = (bits + 0x7fffU + ((bits >> 16) & 1U)) >> 16;
  const U32x16 quiet = (bits >> 16) | 0x40U;
  const U32x16 is_nan = (U32x16)(x != x);
  return __builtin_convertvector((rounded & ~is_nan) | (quiet & is_nan), U16x16);
}

PTRAIN_INLINE F32x16 load(const float* p) { return load_bytes<F32x16>(p); }
PTRAIN_INLINE F32x16 load(const Bf16* p) { return widen(load_bytes<U16x16>(p)); }
PTRAIN_INLINE void store(float* p, F32x16 v) { std::memcpy(p, &v, sizeof v); }
PTRAIN_INLINE void store(Bf16* p, F32x16 v) {
  const U16x16 bits = narrow(v);
  std::memcpy(p, &bits, sizeof bits);
}

// A whole vector, or the `count` elements that are left of a row; the missing lanes read as 0.
struct Whole {
  template <class T>
  PTRAIN_INLINE F32x16 get(const T* p) const {
    return load(p);
  }
  template <class T>
  PTRAIN_INLINE void put(T* p, F32x16 v) const {
    store(p, v);
  }
  PTRAIN_INLINE F32x16 keep(F32x16 v, float) const { return v; }
};

struct Part {
  std::int64_t count;

  template <class T>
  PTRAIN_INLINE F32x16 get(const T* p) const {
    T lanes[kLanes] = {};
    for (std::int64_t i = 0; i < count; ++i) lanes[i] = p[i];
    return load(lanes);
  }
  template <class T>
  PTRAIN_INLINE void put(T* p, F32x16 v) const {
    T lanes[kLanes];
    store(lanes, v);
    for (std::int64_t i = 0; i < count; ++i) p[i] = lanes[i];
  }
  // v, with `other` in the missing lanes.
  PTRAIN_INLINE F32x16 keep(F32x16 v, float other) const {
    for (std::int64_t i = count; i < kLanes; ++i) v[i] = other;
    return v;
  }
};

// body(offset, Whole or Part) over a row of `size` elements.
template <class Body>
PTRAIN_INLINE void for_each_vector(std::int64_t size, const Body& body) {
  std::int64_t i = 0;
  for (; i + kLanes <= size; i += kLanes) body(i, Whole{});
  if (i < size) body(i, Part{size - i});
}

// Adds the lanes as a tree, the same on every instruction set.
PTRAIN_INLINE float sum(F32x16 v) {
  for (int width = 8; width > 0; width /= 2) {
    for (int i = 0; i < width; ++i) v[i] += v[i + width];
  }
  return v[0];
}

PTRAIN_INLINE F32x16 maximum(F32x16 a, F32x16 b) { return a > b ? a : b; }

PTRAIN_INLINE float maximum(F32x16 v) {
  float result = v[0];
  for (int i = 1; i < kLanes; ++i) result = v[i] > result ? v[i] : result;
  return result;
}

PTRAIN_INLINE F32x16 absolute(F32x16 v) { return (F32x16)((U32x16)v & 0x7fffffffU); }

// e^x = 2^n e^r with n = round(x / ln 2) and |r| <= ln 2 / 2. e^r = 1 + r + r^2 q(r), where q
// is the minimax polynomial of degree 4 for e^r's relative error (3.1e-9 before rounding,
// 6.8e-8 in float32). ln 2 is subtracted in two parts, the first exact for every n. Below
// -87.3, where the result would be subnormal, the result is 0; above 88 it is e^88.
PTRAIN_INLINE F32x16 exponential(F32x16 x) {
  const F32x16 low = splat(-87.3F);
  const F32x16 high = splat(88.0F);
  const I32x16 zero = x < low;  // false for a NaN, which so stays one
  const F32x16 clamped = x < low ? low : (x > high ? high : x);
  const float rounder = 0x1.8p23F;  // adding it leaves the nearest integer in the low bits
  const F32x16 shifted = clamped * 0x1.715476p0F + rounder;
  const F32x16 n = shifted - rounder;
  const F32x16 r = (clamped - n * 0x1.62e4p-1F) - n * 0x1.7f7d1cp-20F;
  F32x16 q = r * 0x1.6a23cep-10F + 0x1.123a2p-7F;
  q = q * r + 0x1.5558f2p-5F;
  q = q * r + 0x1.555492p-3F;
  q = q * r + 0x1.fffffcp-2F;
  const F32x16 fraction = q * (r * r) + r + 1.0F;
  const U32x16 exponent = ((U32x16)shifted + 127U) << 23;
  return (F32x16)((U32x16)(fraction * (F32x16)exponent) & ~(U32x16)zero);
}

PTRAIN_INLINE F32x16 sigmoid(F32x16 x) { return 1.0F / (1.0F + exponential(-x)); }

}  // namespace ptrain::stage::kernels::PTRAIN_ISA
