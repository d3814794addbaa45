// The AdamW update and the sum of squares behind gradient clipping.

#include <cmath>
#include <cstring>

#include "tools/stage/kernels/kernels.h"
#include "tools/stage/kernels/vector.h"

namespace ptrain::stage::kernels::PTRAIN_ISA {
namespace {

// Elements of one partial sum: the unit of work, so that threads do not change the order.
constexpr std::int64_t kSumChunk = 16384;

PTRAIN_INLINE F32x16 square_root(F32x16 x) {
  float lanes[kLanes];
  store(lanes, x);
  for (float& lane : lanes) lane = std::sqrt(lane);
  return load(lanes);
}

PTRAIN_INLINE void update(const AdamWUpdate& k, std::int64_t i, auto part) {
  const F32x16 g = part.get(k.grad + i) * k.grad_factor;
  const F32x16 m = part.get(k.exp_avg + i) * k.beta1 + g * (1.0F - k.beta1);
  const F32x16 v = part.get(k.exp_avg_sq + i) * k.beta2 + g * g * (1.0F - k.beta2);
  const F32x16 denominator = square_root(v) * k.inverse_correction2 + k.eps;
  const F32x16 w = part.get(k.value + i) * k.decay_factor - m * k.step_size / denominator;
  part.put(k.exp_avg + i, m);
  part.put(k.exp_avg_sq + i, v);
  part.put(k.value + i, w);
  if (k.compute) part.put(k.compute + i, w);
}

double sum_of_squares(const float* x, std::int64_t size) {
  F64x8 low{};
  F64x8 high{};
  for_each_vector(size, [&](std::int64_t i, auto part) {
    const F32x16 v = part.get(x + i);
    float lanes[kLanes];
    store(lanes, v);
    F32x8 halves[2];
    std::memcpy(halves, lanes, sizeof v);
    const F64x8 a = __builtin_convertvector(halves[0], F64x8);
    const F64x8 b = __builtin_convertvector(halves[1], F64x8);
    low += a * a;
    high += b * b;
  });
  low += high;
  double total = 0.0;
  for (int i = 0; i < 8; ++i) total += low[i];
  return total;
}

}  // namespace

void run(const AdamWUpdate& k) {
  const std::int64_t vectors = k.size / kLanes;
#pragma omp parallel for schedule(static)
  for (std::int64_t i = 0; i < vectors; ++i) update(k, i * kLanes, Whole{});
  const std::int64_t done = vectors * kLanes;
  if (done < k.size) update(k, done, Part{k.size - done});
}

void run(const SumOfSquares& k) {
  double total = 0.0;
  const std::int64_t chunks = (k.size + kSumChunk - 1) / kSumChunk;
#pragma omp parallel for schedule(static, 1) ordered
  for (std::int64_t chunk = 0; chunk < chunks; ++chunk) {
    const std::int64_t begin = chunk * kSumChunk;
    const std::int64_t left = k.size - begin;
    const double part = sum_of_squares(k.x + begin, left < kSumChunk ? left : kSumChunk);
#pragma omp ordered
    total += part;
  }
  *k.result = total;
}

}  // namespace ptrain::stage::kernels::PTRAIN_ISA
