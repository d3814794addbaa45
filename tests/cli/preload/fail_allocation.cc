// Preloaded into a program: no allocation of FAIL_ALLOCATIONS_FROM bytes or more is granted, as on
// a host whose memory is used up. The programs load their libraries with less than a MiB at a time.

#include <cerrno>
#include <cstddef>
#include <cstdlib>

#include <dlfcn.h>

namespace {

bool fails(std::size_t size) {
  static const char* const from = std::getenv("FAIL_ALLOCATIONS_FROM");
  return from != nullptr && size >= std::strtoull(from, nullptr, 10);
}

}  // namespace

extern "C" {

// glibc's own names: dlsym(3) allocates, and would ask this malloc.
void* __libc_malloc(std::size_t size);                 // NOLINT(bugprone-reserved-identifier)
void* __libc_calloc(std::size_t n, std::size_t size);  // NOLINT(bugprone-reserved-identifier)

void* malloc(std::size_t size) {
  if (!fails(size)) return __libc_malloc(size);
  errno = ENOMEM;
  return nullptr;
}

void* calloc(std::size_t n, std::size_t size) {
  if (!fails(n * size)) return __libc_calloc(n, size);
  errno = ENOMEM;
  return nullptr;
}

int posix_memalign(void** memory, std::size_t alignment, std::size_t size) {
  using PosixMemalign = int (*)(void**, std::size_t, std::size_t);
  static const auto real = reinterpret_cast<PosixMemalign>(::dlsym(RTLD_NEXT, "posix_memalign"));
  return fails(size) ? ENOMEM : real(memory, alignment, size);
}

}  // extern "C"
