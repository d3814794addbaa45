// Rows of the embedding table, gathered and scattered.

#include <cstring>

#include "tools/stage/kernels/kernels.h"
#include "tools/stage/kernels/vector.h"

namespace ptrain::stage::kernels::PTRAIN_ISA {
namespace {

// Columns are shared out between threads, so the sum over equal tokens keeps its order.
constexpr std::int64_t kColumns = 64;

}  // namespace

template <class T>
void run(const Embedding<T>& k) {
#pragma omp parallel for schedule(static)
  for (std::int64_t row = 0; row < k.rows; ++row) {
    std::memcpy(k.out + row * k.width, k.table + k.tokens[row] * k.width,
                static_cast<std::size_t>(k.width) * sizeof(T));
  }
}

template <class T>
void run(const EmbeddingBackward<T>& k) {
#pragma omp parallel for schedule(static)
  for (std::int64_t begin = 0; begin < k.width; begin += kColumns) {
    const std::int64_t size = begin + kColumns < k.width ? kColumns : k.width - begin;
    for (std::int64_t row = 0; row < k.rows; ++row) {
      float* to = k.d_table + k.tokens[row] * k.width + begin;
      const T* from = k.d_out + row * k.width + begin;
      for_each_vector(size, [&](std::int64_t i, auto part) {
        part.put(to + i, part.get(to + i) + part.get(from + i));
      });
    }
  }
}

template void run(const Embedding<float>&);
template void run(const Embedding<Bf16>&);
template void run(const EmbeddingBackward<float>&);
template void run(const EmbeddingBackward<Bf16>&);

}  // namespace ptrain::stage::kernels::PTRAIN_ISA
