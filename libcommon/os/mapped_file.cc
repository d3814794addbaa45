#include "libcommon/os/mapped_file.h"

#include <cerrno>
#include <utility>

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "libcommon/base/error.h"
#include "libcommon/os/file_descriptor.h"
#include "libcommon/os/memory_error.h"

namespace ptrain::os {

MappedFile::MappedFile(const std::filesystem::path& path) {
  const FileDescriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!file.valid()) throw io_error("open " + path.string(), errno);
  struct stat status {};
  if (::fstat(file.get(), &status) != 0) throw io_error("stat " + path.string(), errno);
  if (!S_ISREG(status.st_mode)) {
    throw Error(ErrorKind::io, "map " + path.string() + ": not a regular file");
  }
  const auto size = static_cast<std::size_t>(status.st_size);
  if (size == 0) return;  // mmap refuses a length of zero
  void* address = ::mmap(nullptr, size, PROT_READ, MAP_SHARED, file.get(), 0);
  if (address == MAP_FAILED && errno == ENOMEM) throw AllocationFailure(ByteCount(size));
  if (address == MAP_FAILED) throw io_error("map " + path.string(), errno);
  bytes_ = {static_cast<const std::byte*>(address), size};
}

MappedFile::~MappedFile() { reset(); }

MappedFile::MappedFile(MappedFile&& other) noexcept : bytes_(std::exchange(other.bytes_, {})) {}

MappedFile& MappedFile::operator=(MappedFile&& other) noexcept {
  if (this != &other) {
    reset();
    bytes_ = std::exchange(other.bytes_, {});
  }
  return *this;
}

void MappedFile::reset() {
  if (!bytes_.empty()) ::munmap(const_cast<std::byte*>(bytes_.data()), bytes_.size());
  bytes_ = {};
}

}  // namespace ptrain::os
