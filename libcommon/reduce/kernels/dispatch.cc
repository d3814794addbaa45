// Chooses, once a process, the kernels that were compiled for this processor.

#include <array>

#include "libcommon/reduce/kernels/kernels.h"

namespace ptrain::reduce {

namespace baseline {
extern const Kernels kTable;
}
#if defined(__x86_64__)
namespace avx2 {
extern const Kernels kTable;
}
namespace avx512 {
extern const Kernels kTable;
}
#endif

namespace {

constexpr std::array kAll = {InstructionSet::baseline, InstructionSet::avx2,
                             InstructionSet::avx512};

std::size_t count_supported() {
#if defined(__x86_64__)
  // No processor with these lacks f16c, a name that clang 14 does not know here.
  const bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") &&
                    __builtin_cpu_supports("bmi2");
  const bool avx512 = avx2 && __builtin_cpu_supports("avx512f") &&
                      __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") &&
                      __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512cd");
  return avx512 ? 3 : avx2 ? 2 : 1;
#else
  return 1;
#endif
}

}  // namespace

std::span<const InstructionSet> instruction_sets() {
  static const std::size_t count = count_supported();
  return std::span(kAll).first(count);
}

const Kernels& kernels_for(InstructionSet set) {
  switch (set) {
#if defined(__x86_64__)
    case InstructionSet::avx512:
      return avx512::kTable;
    case InstructionSet::avx2:
      return avx2::kTable;
#endif
    default:
      return baseline::kTable;
  }
}

const Kernels& kernels() {
  static const Kernels& best = kernels_for(instruction_sets().back());
  return best;
}

}  // namespace ptrain::reduce
