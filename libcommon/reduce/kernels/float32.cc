// Sums of float32, and what an edge lost.

#include "libcommon/reduce/kernels/instruction_set.h"

namespace ptrain::reduce::PTRAIN_ISA {

void sum(const std::byte* __restrict a, const std::byte* __restrict b, std::byte* __restrict sum,
         std::size_t size) {
  for (std::size_t i = 0; i < size; ++i) store(sum, i, load<float>(a, i) + load<float>(b, i));
}

void add(const std::byte* __restrict from, float* __restrict to, std::size_t size) {
  for (std::size_t i = 0; i < size; ++i) to[i] += load<float>(from, i);
}

void keep_lost(const float* __restrict sent, float kept, float* __restrict residual,
               std::size_t size) {
  for (std::size_t i = 0; i < size; ++i) residual[i] = (residual[i] - sent[i]) * kept;
}

std::int32_t largest_magnitude(const std::byte* from, std::size_t size) {
  std::int32_t largest = 0;
  for (std::size_t i = 0; i < size; ++i) {
    const std::int32_t bits = magnitude(load<float>(from, i));
    largest = bits > largest ? bits : largest;
  }
  return largest;
}

}  // namespace ptrain::reduce::PTRAIN_ISA
