#include "libcommon/os/file_lock.h"

#include <array>
#include <cerrno>

#include <fcntl.h>
#include <limits.h>
#include <unistd.h>

#include "libcommon/base/error.h"

namespace ptrain::os {
namespace {

struct flock whole_file(short type) {
  struct flock lock {};
  lock.l_type = type;
  lock.l_whence = SEEK_SET;
  return lock;
}

}  // namespace

FileDescriptor open_lock_file(const std::filesystem::path& path, const std::string& hint) {
  FileDescriptor file(
      ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0644));
  if (!file.valid()) throw io_error("create " + path.string(), errno, hint);
  return file;
}

LockOutcome try_lock(const FileDescriptor& file) {
  struct flock lock = whole_file(F_WRLCK);
  if (::fcntl(file.get(), F_OFD_SETLK, &lock) == 0) return LockOutcome::taken;
  const bool held = errno == EAGAIN || errno == EACCES;
  return held ? LockOutcome::held_elsewhere : LockOutcome::unsupported;
}

bool is_locked_elsewhere(const FileDescriptor& file) {
  struct flock lock = whole_file(F_WRLCK);
  return ::fcntl(file.get(), F_OFD_GETLK, &lock) == 0 && lock.l_type != F_UNLCK;
}

std::string holder_text(const FileDescriptor& file) {
  std::string text(kMaxHolderBytes, '\0');
  const ssize_t got = ::pread(file.get(), text.data(), text.size(), 0);
  text.resize(got > 0 ? static_cast<std::size_t>(got) : 0);
  return text;
}

void write_holder_text(const FileDescriptor& file, const std::filesystem::path& path,
                       std::string_view text, const std::string& hint) {
  const auto size = static_cast<ssize_t>(text.size());
  if (::ftruncate(file.get(), 0) != 0 ||
      ::pwrite(file.get(), text.data(), text.size(), 0) != size || ::fsync(file.get()) != 0) {
    throw io_error("write " + path.string(), errno, hint);
  }
}

std::string host_name() {
  std::array<char, HOST_NAME_MAX + 1> name{};
  return ::gethostname(name.data(), name.size() - 1) == 0 ? name.data() : "this host";
}

}  // namespace ptrain::os
