// operator new of every program that links memory_error.h's users: as the standard library's, but
// a failure knows its size (AllocationFailure). Memory comes from malloc(3), which the standard
// operator delete gives back. Not under sanitizers, which bring their own pairs.

#include <algorithm>
#include <cstddef>
#include <cstdlib>
#include <new>

#include "libcommon/os/memory_error.h"

namespace ptrain::os {

// Out of line, so that who asks for the type has this file linked.
const char* AllocationFailure::what() const noexcept { return "memory allocation failed"; }

}  // namespace ptrain::os

#ifndef PTRAIN_SANITISED

void* operator new(std::size_t size) {
  while (true) {
    if (void* memory = std::malloc(std::max<std::size_t>(size, 1))) return memory;
    const std::new_handler handler = std::get_new_handler();
    if (handler == nullptr) throw ptrain::os::AllocationFailure(ptrain::ByteCount(size));
    handler();
  }
}

void* operator new[](std::size_t size) { return ::operator new(size); }

#endif
