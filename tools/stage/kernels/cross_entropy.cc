// Softmax and cross-entropy of rows of logits, with the gradient in the same pass over them.

#include <cmath>

#include "tools/stage/kernels/kernels.h"
#include "tools/stage/kernels/vector.h"

namespace ptrain::stage::kernels::PTRAIN_ISA {
namespace {

PTRAIN_INLINE float row_maximum(const float* row, std::int64_t size) {
  F32x16 largest = splat(row[0]);
  for_each_vector(size, [&](std::int64_t i, auto part) {
    largest = maximum(largest, part.keep(part.get(row + i), row[0]));
  });
  return maximum(largest);
}

// Replaces the row by e^(x - shift); returns the sum.
PTRAIN_INLINE float exponentiate(float* row, std::int64_t size, float shift) {
  F32x16 total{};
  for_each_vector(size, [&](std::int64_t i, auto part) {
    const F32x16 e = part.keep(exponential(part.get(row + i) - shift), 0.0F);
    total += e;
    part.put(row + i, e);
  });
  return sum(total);
}

}  // namespace

template <class T>
void run(const CrossEntropy<T>& k) {
#pragma omp parallel for schedule(static)
  for (std::int64_t r = 0; r < k.rows; ++r) {
    float* row = k.logits + r * k.vocab;
    const std::int32_t target = k.targets[r];
    const float shift = row_maximum(row, k.vocab);
    const double target_logit = row[target];
    const float total = exponentiate(row, k.vocab, shift);
    k.losses[r] = std::log(static_cast<double>(total)) + shift - target_logit;
    if (!k.d_logits) continue;
    const float factor = k.scale / total;
    row[target] -= total;  // so that the product below is scale * (softmax - 1)
    T* d_row = k.d_logits + r * k.vocab;
    for_each_vector(k.vocab, [&](std::int64_t i, auto part) {
      part.put(d_row + i, part.get(row + i) * factor);
    });
  }
}

template void run(const CrossEntropy<float>&);
template void run(const CrossEntropy<Bf16>&);

}  // namespace ptrain::stage::kernels::PTRAIN_ISA
