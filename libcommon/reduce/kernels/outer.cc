// What the outer optimiser does to each element, every operation rounded by itself.

#include "libcommon/reduce/kernels/instruction_set.h"

namespace ptrain::reduce::PTRAIN_ISA {

void difference(const float* __restrict a, const float* __restrict b, float* __restrict to,
                std::size_t size) {
  for (std::size_t i = 0; i < size; ++i) to[i] = a[i] - b[i];
}

void nesterov(const NesterovFactors& factors, const float* __restrict sum, float* __restrict anchor,
              float* __restrict velocity, std::size_t size) {
  const float weight = factors.weight;
  const float momentum = factors.momentum;
  const float lr = factors.lr;
  for (std::size_t i = 0; i < size; ++i) {
    const float gradient = sum[i] / weight;
    const float v = momentum * velocity[i] + gradient;
    velocity[i] = v;
    anchor[i] = anchor[i] - lr * (gradient + momentum * v);
  }
}

void mix(const float* __restrict from, float kept, float taken, float* __restrict to,
         std::size_t size) {
  for (std::size_t i = 0; i < size; ++i) to[i] = kept * to[i] + taken * from[i];
}

}  // namespace ptrain::reduce::PTRAIN_ISA
