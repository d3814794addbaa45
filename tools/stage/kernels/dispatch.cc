// Chooses, once a process, the kernels that were compiled for this processor.

#include <algorithm>
#include <array>
#include <cstdlib>
#include <string_view>

#include <omp.h>

#include "tools/stage/kernels/instruction_sets.h"
#include "tools/stage/kernels/kernels.h"
#include "tools/stage/kernels/product_blocks.h"

namespace ptrain::stage::kernels {
namespace {

constexpr std::array kAll = {InstructionSet::baseline, InstructionSet::avx2,
                             InstructionSet::avx512};

std::size_t count_supported() {
#if defined(__x86_64__)
  const bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") &&
                    __builtin_cpu_supports("bmi2") && __builtin_cpu_supports("f16c");
  const bool avx512 = avx2 && __builtin_cpu_supports("avx512f") &&
                      __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") &&
                      __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512cd");
  return avx512 ? 3 : avx2 ? 2 : 1;
#else
  return 1;
#endif
}

// A word that is none of libtorch's restricts nothing, as there.
std::size_t count_permitted() {
  const char* word = std::getenv("ATEN_CPU_CAPABILITY");
  const std::string_view capability = word ? word : "";
  return capability == "default" ? 1 : capability == "avx2" ? 2 : kAll.size();
}

}  // namespace

std::span<const InstructionSet> instruction_sets() {
  static const std::size_t count = std::min(count_supported(), count_permitted());
  return std::span(kAll).first(count);
}

int max_threads() { return omp_get_max_threads(); }

void set_threads(int threads) { omp_set_num_threads(threads); }

std::int64_t attention_forward_workspace(const AttentionShape& shape) {
  const std::int64_t width = (shape.head_dim + 15) / 16 * 16;
  return kAttentionBlock * (5 * width + kAttentionBlock + 3);
}

std::int64_t attention_backward_workspace(const AttentionShape& shape) {
  const std::int64_t width = (shape.head_dim + 15) / 16 * 16;
  const std::int64_t blocks = kAttentionBlock * (7 * width + 2 * kAttentionBlock + 2);
  return blocks + 2 * shape.tokens * width;
}

std::int64_t product_workspace() {
  return kProductColumns * kProductDepth + max_threads() * kProductRowBlock * kProductDepth +
         kProductRows * kProductColumns;
}

template <class Kernel>
void run_on(InstructionSet set, const Kernel& kernel) {
  switch (set) {
#if defined(__x86_64__)
    case InstructionSet::avx512:
      return avx512::run(kernel);
    case InstructionSet::avx2:
      return avx2::run(kernel);
#endif
    default:
      return baseline::run(kernel);
  }
}

template <class Kernel>
void run(const Kernel& kernel) {
  run_on(instruction_sets().back(), kernel);
}

#define PTRAIN_KERNEL(...)                                             \
  template void run_on(InstructionSet set, const __VA_ARGS__& kernel); \
  template void run(const __VA_ARGS__& kernel);
#define PTRAIN_KERNEL_TEMPLATE(Name) \
  PTRAIN_KERNEL(Name<float>)         \
  PTRAIN_KERNEL(Name<Bf16>)

PTRAIN_KERNEL_TEMPLATE(RmsNorm)
PTRAIN_KERNEL_TEMPLATE(RmsNormBackward)
PTRAIN_KERNEL_TEMPLATE(Rope)
PTRAIN_KERNEL_TEMPLATE(SwiGlu)
PTRAIN_KERNEL_TEMPLATE(SwiGluBackward)
PTRAIN_KERNEL_TEMPLATE(Attention)
PTRAIN_KERNEL_TEMPLATE(AttentionBackward)
PTRAIN_KERNEL_TEMPLATE(CrossEntropy)
PTRAIN_KERNEL_TEMPLATE(Embedding)
PTRAIN_KERNEL_TEMPLATE(EmbeddingBackward)
PTRAIN_KERNEL_TEMPLATE(QuantiseInt8)
PTRAIN_KERNEL_TEMPLATE(DequantiseInt8)
PTRAIN_KERNEL_TEMPLATE(Product)
PTRAIN_KERNEL(AdamWUpdate)
PTRAIN_KERNEL(SumOfSquares)
PTRAIN_KERNEL(ToBf16)
PTRAIN_KERNEL(ToFloat)
PTRAIN_KERNEL(Exponential)

}  // namespace ptrain::stage::kernels
