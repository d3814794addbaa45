// RMSNorm, forward and backward.

#include <cmath>

#include "tools/stage/kernels/kernels.h"
#include "tools/stage/kernels/vector.h"

namespace ptrain::stage::kernels::PTRAIN_ISA {
namespace {

template <class T>
PTRAIN_INLINE float inverse_rms(const T* x, std::int64_t width, float eps) {
  F32x16 squares{};
  for_each_vector(width, [&](std::int64_t i, auto part) {
    const F32x16 v = part.get(x + i);
    squares += v * v;
  });
  return 1.0F / std::sqrt(sum(squares) / static_cast<float>(width) + eps);
}

// With n = x * inverse_rms: dx = inverse_rms * (dy w - n mean(dy w n)), dw = dy n.
template <class T>
PTRAIN_INLINE void backward_row(const RmsNormBackward<T>& k, std::int64_t row, float* dweight) {
  const T* x = k.x + row * k.width;
  const T* dy = k.dy + row * k.width;
  const float scale = inverse_rms(x, k.width, k.eps);
  F32x16 dot{};
  for_each_vector(k.width, [&](std::int64_t i, auto part) {
    const F32x16 normalised = part.get(x + i) * scale;
    const F32x16 gradient = part.get(dy + i);
    dot += gradient * part.get(k.weight + i) * normalised;
    part.put(dweight + i, part.get(dweight + i) + gradient * normalised);
  });
  const float mean = sum(dot) / static_cast<float>(k.width);
  T* dx = k.dx + row * k.width;
  for_each_vector(k.width, [&](std::int64_t i, auto part) {
    const F32x16 normalised = part.get(x + i) * scale;
    F32x16 result = scale * (part.get(dy + i) * part.get(k.weight + i) - normalised * mean);
    if (k.residual) result += part.get(k.residual + row * k.width + i);
    part.put(dx + i, result);
  });
}

}  // namespace

template <class T>
void run(const RmsNorm<T>& k) {
#pragma omp parallel for schedule(static)
  for (std::int64_t row = 0; row < k.rows; ++row) {
    const T* x = k.x + row * k.width;
    T* y = k.y + row * k.width;
    const float scale = inverse_rms(x, k.width, k.eps);
    for_each_vector(k.width, [&](std::int64_t i, auto part) {
      part.put(y + i, part.get(x + i) * scale * part.get(k.weight + i));
    });
  }
}

template <class T>
void run(const RmsNormBackward<T>& k) {
  const std::int64_t partials = rms_norm_partials(k.rows);
#pragma omp parallel for schedule(static)
  for (std::int64_t p = 0; p < partials; ++p) {
    float* dweight = k.partials + p * k.width;
    for (std::int64_t i = 0; i < k.width; ++i) dweight[i] = 0.0F;
    const std::int64_t begin = p * kRmsNormRowsPerPartial;
    const std::int64_t end = begin + kRmsNormRowsPerPartial;
    for (std::int64_t row = begin; row < end && row < k.rows; ++row) {
      backward_row(k, row, dweight);
    }
  }
  for (std::int64_t p = 0; p < partials; ++p) {
    for (std::int64_t i = 0; i < k.width; ++i) k.dweight[i] += k.partials[p * k.width + i];
  }
}

template void run(const RmsNorm<float>&);
template void run(const RmsNorm<Bf16>&);
template void run(const RmsNormBackward<float>&);
template void run(const RmsNormBackward<Bf16>&);

}  // namespace ptrain::stage::kernels::PTRAIN_ISA
