// Rotary position embedding.

#include "tools/stage/kernels/kernels.h"
#include "tools/stage/kernels/vector.h"

namespace ptrain::stage::kernels::PTRAIN_ISA {

template <class T>
void run(const Rope<T>& k) {
  const std::int64_t half = k.head_dim / 2;
#pragma omp parallel for schedule(static)
  for (std::int64_t row = 0; row < k.rows; ++row) {
    const float* cosine = k.cosine + (row % k.tokens) * half;
    const float* sine = k.sine + (row % k.tokens) * half;
    for (std::int64_t head = 0; head < k.heads; ++head) {
      T* first = k.x + row * k.stride + head * k.head_dim;
      T* second = first + half;
      for_each_vector(half, [&](std::int64_t i, auto part) {
        const F32x16 a = part.get(first + i);
        const F32x16 b = part.get(second + i);
        const F32x16 c = part.get(cosine + i);
        const F32x16 s = part.get(sine + i) * k.sign;
        part.put(first + i, a * c - b * s);
        part.put(second + i, b * c + a * s);
      });
    }
  }
}

template void run(const Rope<float>&);
template void run(const Rope<Bf16>&);

}  // namespace ptrain::stage::kernels::PTRAIN_ISA
