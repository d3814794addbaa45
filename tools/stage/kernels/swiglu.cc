// SwiGLU, forward and backward.

#include "tools/stage/kernels/kernels.h"
#include "tools/stage/kernels/vector.h"

namespace ptrain::stage::kernels::PTRAIN_ISA {

template <class T>
void run(const SwiGlu<T>& k) {
#pragma omp parallel for schedule(static)
  for (std::int64_t row = 0; row < k.rows; ++row) {
    const T* gate = k.gate_up + row * 2 * k.width;
    const T* up = gate + k.width;
    T* out = k.out + row * k.width;
    for_each_vector(k.width, [&](std::int64_t i, auto part) {
      const F32x16 g = part.get(gate + i);
      part.put(out + i, g * sigmoid(g) * part.get(up + i));
    });
  }
}

template <class T>
void run(const SwiGluBackward<T>& k) {
#pragma omp parallel for schedule(static)
  for (std::int64_t row = 0; row < k.rows; ++row) {
    const T* gate = k.gate_up + row * 2 * k.width;
    const T* up = gate + k.width;
    T* d_gate = k.d_gate_up + row * 2 * k.width;
    T* d_up = d_gate + k.width;
    const std::int64_t out = row * k.width;
    for_each_vector(k.width, [&](std::int64_t i, auto part) {
      const F32x16 g = part.get(gate + i);
      const F32x16 u = part.get(up + i);
      const F32x16 d = part.get(k.d_out + out + i);
      const F32x16 s = sigmoid(g);
      const F32x16 silu = g * s;
      part.put(d_gate + i, d * u * (s + silu * (1.0F - s)));
      part.put(d_up + i, d * silu);
      part.put(k.product + out + i, silu * u);
    });
  }
}

template void run(const SwiGlu<float>&);
template void run(const SwiGlu<Bf16>&);
template void run(const SwiGluBackward<float>&);
template void run(const SwiGluBackward<Bf16>&);

}  // namespace ptrain::stage::kernels::PTRAIN_ISA
