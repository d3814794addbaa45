#include "libcommon/base/subnormals.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace ptrain {
namespace {

#if defined(__x86_64__)
constexpr std::uint64_t kFlush = 0x8040;  // FTZ of results, DAZ of operands
std::uint64_t control() { return _mm_getcsr(); }
void set_control(std::uint64_t word) { _mm_setcsr(static_cast<unsigned>(word)); }
#elif defined(__aarch64__)
constexpr std::uint64_t kFlush = std::uint64_t{1} << 24;  // FZ of both
std::uint64_t control() {
  std::uint64_t word = 0;
  asm volatile("mrs %0, fpcr" : "=r"(word));
  return word;
}
void set_control(std::uint64_t word) { asm volatile("msr fpcr, %0" : : "r"(word)); }
#else
constexpr std::uint64_t kFlush = 0;
std::uint64_t control() { return 0; }
void set_control(std::uint64_t) {}
#endif

}  // namespace

// Never inlined: the compiler, which knows nothing of the mode, moves no arithmetic over a call
// that it cannot see into.
[[gnu::noinline]] SubnormalMode::SubnormalMode(Subnormals mode) : before_(control()) {
  set_control(mode == Subnormals::kept ? before_ & ~kFlush : before_ | kFlush);
}

// What the scope has changed besides stays: the flags of what happened, say.
[[gnu::noinline]] SubnormalMode::~SubnormalMode() {
  set_control((control() & ~kFlush) | (before_ & kFlush));
}

}  // namespace ptrain
