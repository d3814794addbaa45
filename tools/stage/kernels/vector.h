// Sixteen float32 at a time, with the compiler's vector extension: the same source becomes
// one AVX-512 register, two of AVX2 or four of SSE and NEON. For kernel sources only, which include
// it inside their instruction set's compilation; everything here is always inlined, so that
// no function compiled for a newer processor can be linked into an older one's path.

#pragma once

#include <cstdint>
#include <cstring>
#include <type_traits>

#include "tools/stage/kernels/bfloat16.h"

#define PTRAIN_INLINE inline __attribute__((always_inline))

namespace ptrain::stage::kernels::PTRAIN_ISA {

#if defined(__AVX512F__)
constexpr int kRegisterBytes = 64;
#elif defined(__AVX__)
constexpr int kRegisterBytes = 32;
#else
constexpr int kRegisterBytes = 16;
#endif
template <class T, int bytes>
using Register __attribute__((vector_size(bytes))) = T;

// Two vectors as one. GCC 12 keeps a vector that is wider than the registers in memory, and
// compares two of them one element after another: attention took ten times as long with AVX2 as
// with AVX-512, and longer than with SSE. Pairs down to registers have neither fault.
template <class V>
struct Pair {
  V low;
  V high;

#define PTRAIN_OPERATOR(op)                                                  \
  friend PTRAIN_INLINE auto operator op(Pair a, Pair b) {                    \
    return Pair<decltype(a.low op b.low)>{a.low op b.low, a.high op b.high}; \
  }                                                                          \
  template <class T>                                                         \
  requires std::is_arithmetic_v<T>                                           \
  friend PTRAIN_INLINE auto operator op(Pair a, T b) {                       \
    return Pair<decltype(a.low op b)>{a.low op b, a.high op b};              \
  }                                                                          \
  template <class T>                                                         \
  requires std::is_arithmetic_v<T>                                           \
  friend PTRAIN_INLINE auto operator op(T a, Pair b) {                       \
    return Pair<decltype(a op b.low)>{a op b.low, a op b.high};              \
  }
  PTRAIN_OPERATOR(+)
  PTRAIN_OPERATOR(-)
  PTRAIN_OPERATOR(*)
  PTRAIN_OPERATOR(/)
  PTRAIN_OPERATOR(&)
  PTRAIN_OPERATOR(|)
  PTRAIN_OPERATOR(<<)
  PTRAIN_OPERATOR(>>)
  PTRAIN_OPERATOR(<)
  PTRAIN_OPERATOR(<=)
  PTRAIN_OPERATOR(>)
  PTRAIN_OPERATOR(!=)
#undef PTRAIN_OPERATOR
  friend PTRAIN_INLINE Pair operator-(Pair a) { return {-a.low, -a.high}; }
  friend PTRAIN_INLINE Pair operator~(Pair a) { return {~a.low, ~a.high}; }
  template <class B>
  PTRAIN_INLINE Pair& operator+=(B b) {
    return *this = *this + b;
  }
};

// `bytes` bytes of T, in as many registers as they take.
template <class T, int bytes>
struct VectorOf {
  using Type = Pair<typename VectorOf<T, bytes / 2>::Type>;
};
template <class T, int bytes>
requires(bytes <= kRegisterBytes) struct VectorOf<T, bytes> {
  using Type = Register<T, bytes>;
};

using F32x16 = VectorOf<float, 64>::Type;
using I32x16 = VectorOf<std::int32_t, 64>::Type;
using U32x16 = VectorOf<std::uint32_t, 64>::Type;
using F64x8 = double __attribute__((vector_size(64)));
using F32x8 = float __attribute__((vector_size(32)));

constexpr std::int64_t kLanes = 16;

template <class V>
struct IsPair : std::false_type {};
template <class V>
struct IsPair<Pair<V>> : std::true_type {};

template <class V>
PTRAIN_INLINE V load_bytes(const void* p) {
  if constexpr (IsPair<V>::value) {
    using Half = decltype(V::low);
    return {load_bytes<Half>(p), load_bytes<Half>(static_cast<const char*>(p) + sizeof(Half))};
  } else {
    V v;
    std::memcpy(&v, p, sizeof v);
    return v;
  }
}

template <class V>
PTRAIN_INLINE void store_bytes(void* p, V v) {
  if constexpr (IsPair<V>::value) {
    store_bytes(p, v.low);
    store_bytes(static_cast<char*>(p) + sizeof v.low, v.high);
  } else {
    std::memcpy(p, &v, sizeof v);
  }
}

// The same bits, as another type.
template <class To, class From>
PTRAIN_INLINE To bits_as(From v) {
  if constexpr (IsPair<From>::value) {
    using Half = decltype(To::low);
    return {bits_as<Half>(v.low), bits_as<Half>(v.high)};
  } else {
    return (To)v;
  }
}

// a in the lanes that compare true, else b.
template <class Mask, class V>
PTRAIN_INLINE V select(Mask mask, V a, V b) {
  if constexpr (IsPair<V>::value) {
    return {select(mask.low, a.low, b.low), select(mask.high, a.high, b.high)};
  } else {
    return mask ? a : b;
  }
}

template <class V>
PTRAIN_INLINE V splat_as(float x) {
  if constexpr (IsPair<V>::value) {
    const auto half = splat_as<decltype(V::low)>(x);
    return {half, half};
  } else {
    return x - V{};  // V{} + x would be an addition: of -0 it makes 0
  }
}

PTRAIN_INLINE F32x16 splat(float x) {
#ifdef __AVX512F__
  return F32x16{} + x;
#else
  return splat_as<F32x16>(x);
#endif
}

template <class V>
PTRAIN_INLINE V load_bf16(const Bf16* p) {
  if constexpr (IsPair<V>::value) {
    using Half = decltype(V::low);
    return {load_bf16<Half>(p), load_bf16<Half>(p + sizeof(Half) / sizeof(float))};
  } else {
    const auto bits = load_bytes<Register<std::uint16_t, sizeof(V) / 2>>(p);
    return (V)(__builtin_convertvector(bits, Register<std::uint32_t, sizeof(V)>) << 16);
  }
}

// To nearest, ties to even; a NaN stays a NaN.
template <class V>
PTRAIN_INLINE void store_bf16(Bf16* p, V x) {
  if constexpr (IsPair<V>::value) {
    store_bf16(p, x.low);
    store_bf16(p + sizeof x.low / sizeof(float), x.high);
  } else {
    using U32 = Register<std::uint32_t, sizeof(V)>;
    const U32 bits = (U32)x;
    const U32 rounded = (bits + 0x7fffU + ((bits >> 16) & 1U)) >> 16;
    const U32 quiet = (bits >> 16) | 0x40U;
    const U32 is_nan = (U32)(x != x);
    store_bytes(p, __builtin_convertvector((rounded & ~is_nan) | (quiet & is_nan),
                                           Register<std::uint16_t, sizeof(V) / 2>));
  }
}

PTRAIN_INLINE F32x16 load(const float* p) { return load_bytes<F32x16>(p); }
PTRAIN_INLINE F32x16 load(const Bf16* p) { return load_bf16<F32x16>(p); }
PTRAIN_INLINE void store(float* p, F32x16 v) { store_bytes(p, v); }
PTRAIN_INLINE void store(Bf16* p, F32x16 v) { store_bf16(p, v); }

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
    float lanes[kLanes];
    store(lanes, v);
    for (std::int64_t i = count; i < kLanes; ++i) lanes[i] = other;
    return load(lanes);
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
  float lanes[kLanes];
  store(lanes, v);
  for (int width = 8; width > 0; width /= 2) {
    for (int i = 0; i < width; ++i) lanes[i] += lanes[i + width];
  }
  return lanes[0];
}

PTRAIN_INLINE F32x16 maximum(F32x16 a, F32x16 b) { return select(a > b, a, b); }

PTRAIN_INLINE float maximum(F32x16 v) {
  float lanes[kLanes];
  store(lanes, v);
  float result = lanes[0];
  for (int i = 1; i < kLanes; ++i) result = lanes[i] > result ? lanes[i] : result;
  return result;
}

PTRAIN_INLINE F32x16 absolute(F32x16 v) {
  return bits_as<F32x16>(bits_as<U32x16>(v) & 0x7fffffffU);
}

// e^x = 2^n e^r with n = round(x / ln 2) and |r| <= ln 2 / 2. e^r = 1 + r + r^2 q(r), where q
// is the minimax polynomial of degree 4 for e^r's relative error (3.1e-9 before rounding,
// 6.8e-8 in float32). ln 2 is subtracted in two parts, the first exact for every n. Below
// -87.3, where the result would be subnormal, the result is 0; above 88 it is e^88.
PTRAIN_INLINE F32x16 exponential(F32x16 x) {
  const F32x16 low = splat(-87.3F);
  const F32x16 high = splat(88.0F);
  const I32x16 zero = x < low;  // false for a NaN, which so stays one
  const F32x16 clamped = select(x < low, low, select(x > high, high, x));
  const float rounder = 0x1.8p23F;  // adding it leaves the nearest integer in the low bits
  const F32x16 shifted = clamped * 0x1.715476p0F + rounder;
  const F32x16 n = shifted - rounder;
  const F32x16 r = (clamped - n * 0x1.62e4p-1F) - n * 0x1.7f7d1cp-20F;
  F32x16 q = r * 0x1.6a23cep-10F + 0x1.123a2p-7F;
  q = q * r + 0x1.5558f2p-5F;
  q = q * r + 0x1.555492p-3F;
  q = q * r + 0x1.fffffcp-2F;
  const F32x16 fraction = q * (r * r) + r + 1.0F;
  const U32x16 exponent = (bits_as<U32x16>(shifted) + 127U) << 23;
  const F32x16 result = fraction * bits_as<F32x16>(exponent);
  return bits_as<F32x16>(bits_as<U32x16>(result) & ~bits_as<U32x16>(zero));
}

PTRAIN_INLINE F32x16 sigmoid(F32x16 x) { return 1.0F / (1.0F + exponential(-x)); }

}  // namespace ptrain::stage::kernels::PTRAIN_ISA
