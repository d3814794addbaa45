// A whole file, read-only, as memory. The mapping lives as long as the object;
// a file that shrinks under it raises SIGBUS, as with any mapping.

#pragma once

#include <cstddef>
#include <filesystem>
#include <span>

namespace ptrain::os {

class MappedFile {
 public:
  // Throws Error(io) naming the path, AllocationFailure (memory_error.h) where there is no room.
  explicit MappedFile(const std::filesystem::path& path);
  ~MappedFile();
  MappedFile(MappedFile&& other) noexcept;
  MappedFile& operator=(MappedFile&& other) noexcept;

  std::span<const std::byte> bytes() const { return bytes_; }

 private:
  void reset();
  std::span<const std::byte> bytes_;
};

}  // namespace ptrain::os
