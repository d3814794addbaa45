#include "tools/stage/model/denormals.h"

#include <cstdint>

#include <ATen/Parallel.h>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace ptrain::stage {
namespace {

void flush_in_this_thread() {
#if defined(__x86_64__)
  constexpr unsigned kFlushToZero = 0x8000;
  constexpr unsigned kDenormalsAreZero = 0x0040;
  _mm_setcsr(_mm_getcsr() | kFlushToZero | kDenormalsAreZero);
#elif defined(__aarch64__)
  constexpr std::uint64_t kFlushToZero = std::uint64_t{1} << 24;
  std::uint64_t control = 0;
  asm volatile("mrs %0, fpcr" : "=r"(control));
  asm volatile("msr fpcr, %0" : : "r"(control | kFlushToZero));
#endif
}

}  // namespace

void flush_denormals() {
  flush_in_this_thread();
  // Teams that exist already; libtorch's may be another runtime's.
#pragma omp parallel
  flush_in_this_thread();
  at::parallel_for(0, at::get_num_threads(), 1,
                   [](std::int64_t, std::int64_t) { flush_in_this_thread(); });
}

}  // namespace ptrain::stage
