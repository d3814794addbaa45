// Memory that cannot be had: one Error(try_again) that says how much was needed and how much there
// is, wherever it was asked for. It may be there later, or with less at once.
//
// Programs that link this file's part of libcommon have operator new throw AllocationFailure, so
// that a failed container knows its size too. Any thread.

#pragma once

#include <cstdint>
#include <new>
#include <optional>
#include <string>

#include "libcommon/base/error.h"
#include "libcommon/base/units.h"

namespace ptrain::os {

// A bad_alloc that knows what was asked for.
class AllocationFailure final : public std::bad_alloc {
 public:
  explicit AllocationFailure(ByteCount size) : size_(size) {}
  ByteCount size() const { return size_; }
  const char* what() const noexcept override;

 private:
  ByteCount size_;
};

inline constexpr const char* kMemoryHint =
    "end other programs, do less at once, or use a machine with more memory";

// "memory for PURPOSE: 2.0 TiB needed, 6.4 GiB available"; what is not known is left out.
Error memory_error(const std::string& purpose, std::optional<ByteCount> needed,
                   std::optional<ByteCount> available, std::string hint = kMemoryHint);
// Of what failed a moment ago, on this host.
Error memory_error(const std::bad_alloc& failure, std::string hint = kMemoryHint);

// What the process can have (share_of_machine.h), swap space included; nothing where nothing says
// it.
std::optional<ByteCount> available_memory();
// Throws memory_error() where so much is not there. The kernel promises more than it has, and takes
// the process away when it begins to use it: asked for before, a refusal can say why.
void require_memory(const std::string& purpose, ByteCount needed, std::string hint = kMemoryHint);

}  // namespace ptrain::os
