// Between float32, bfloat16 and blocks of int8.

#include <cmath>
#include <cstring>

#include "tools/stage/kernels/kernels.h"
#include "tools/stage/kernels/vector.h"

namespace ptrain::stage::kernels::PTRAIN_ISA {
namespace {

constexpr std::int64_t kChunk = 16384;  // elements a thread takes at a time

// The largest float32 of which 127 fold is finite.
constexpr float kLargestScale = 0x1.020406p121F;

template <class From, class To>
void convert(const From* from, To* to, std::int64_t size) {
#pragma omp parallel for schedule(static)
  for (std::int64_t begin = 0; begin < size; begin += kChunk) {
    const std::int64_t count = begin + kChunk < size ? kChunk : size - begin;
    for_each_vector(count, [&](std::int64_t i, auto part) {
      part.put(to + begin + i, part.get(from + begin + i));
    });
  }
}

template <class T>
PTRAIN_INLINE float absolute_maximum(const T* from, std::int64_t size) {
  F32x16 largest{};
  for_each_vector(size, [&](std::int64_t i, auto part) {
    const F32x16 magnitude = absolute(part.get(from + i));
    largest = select(magnitude <= largest, largest, magnitude);  // a NaN wins and stays
    largest = select(largest != largest, splat(__builtin_inff()), largest);
  });
  return maximum(largest);
}

template <class T>
std::int64_t first_not_finite(const T* from, std::int64_t size) {
  for (std::int64_t i = 0; i < size; ++i) {
    float lanes[kLanes];
    store(lanes, Part{1}.get(from + i));
    const float x = lanes[0];
    if (!std::isfinite(x)) return i;
  }
  return -1;
}

template <class T>
PTRAIN_INLINE void quantise(const T* from, std::int8_t* to, std::int64_t size, float inverse) {
  for_each_vector(size, [&](std::int64_t i, auto part) {
    // The rounder leaves round(x), ties to even, in the low bits of the sum.
    const F32x16 shifted = part.get(from + i) * inverse + 0x1.8p23F;
    std::int32_t bits[kLanes];
    store_bytes(bits, shifted);
    std::int8_t lanes[kLanes];
    for (std::int64_t j = 0; j < kLanes; ++j) lanes[j] = static_cast<std::int8_t>(bits[j]);
    std::memcpy(to + i, lanes, static_cast<std::size_t>(size - i < kLanes ? size - i : kLanes));
  });
}

}  // namespace

void run(const ToBf16& k) { convert(k.from, k.to, k.size); }
void run(const ToFloat& k) { convert(k.from, k.to, k.size); }

template <class T>
void run(const QuantiseInt8<T>& k) {
  const std::int64_t blocks = (k.size + k.block - 1) / k.block;
  std::int64_t bad = k.size;
#pragma omp parallel for schedule(static) reduction(min : bad)
  for (std::int64_t b = 0; b < blocks; ++b) {
    const std::int64_t begin = b * k.block;
    const std::int64_t size = begin + k.block < k.size ? k.block : k.size - begin;
    const float largest = absolute_maximum(k.from + begin, size);
    if (!std::isfinite(largest)) {
      const std::int64_t index = begin + first_not_finite(k.from + begin, size);
      bad = index < bad ? index : bad;
      continue;
    }
    const bool vanishes = largest < kSmallestInt8Absmax;
    const float scale = largest / 127.0F;
    k.scales[b] = vanishes ? 0.0F : (scale < kLargestScale ? scale : kLargestScale);
    quantise(k.from + begin, k.to + begin, size, vanishes ? 0.0F : 127.0F / largest);
  }
  *k.not_finite = bad < k.size ? bad : -1;
}

template <class T>
void run(const DequantiseInt8<T>& k) {
  const std::int64_t blocks = (k.size + k.block - 1) / k.block;
#pragma omp parallel for schedule(static)
  for (std::int64_t b = 0; b < blocks; ++b) {
    const std::int64_t begin = b * k.block;
    const std::int64_t size = begin + k.block < k.size ? k.block : k.size - begin;
    for_each_vector(size, [&](std::int64_t i, auto part) {
      float lanes[kLanes] = {};
      const std::int64_t count = size - i < kLanes ? size - i : kLanes;
      for (std::int64_t j = 0; j < count; ++j) lanes[j] = k.from[begin + i + j];
      part.put(k.to + begin + i, load(lanes) * k.scales[b]);
    });
  }
}

void run(const Exponential& k) {
  for_each_vector(k.size, [&](std::int64_t i, auto part) {
    part.put(k.y + i, exponential(part.get(k.x + i)));
  });
}

template void run(const QuantiseInt8<float>&);
template void run(const QuantiseInt8<Bf16>&);
template void run(const DequantiseInt8<float>&);
template void run(const DequantiseInt8<Bf16>&);

}  // namespace ptrain::stage::kernels::PTRAIN_ISA
