#include "libcommon/os/private_file.h"

#include <cerrno>

#include <fcntl.h>
#include <fmt/format.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "libcommon/base/error.h"
#include "libcommon/os/file_descriptor.h"

namespace ptrain::os {

std::string read_private_file(const std::filesystem::path& path, std::string_view what,
                              std::size_t max_bytes) {
  const std::string name = fmt::format("{} {}", what, path.string());
  // O_NONBLOCK: a pipe under a file's name must be an error, not a wait without end.
  const FileDescriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  if (!file.valid()) throw io_error("open " + name, errno);
  struct stat status {};
  if (::fstat(file.get(), &status) != 0) throw io_error("stat " + name, errno);
  if (!S_ISREG(status.st_mode)) throw Error(ErrorKind::corrupt, name + ": not a regular file");
  if ((status.st_mode & (S_IRWXG | S_IRWXO)) != 0) {
    throw Error(
        ErrorKind::permission,
        fmt::format("{} has mode {:04o}: others may read its secret", name, status.st_mode & 07777),
        fmt::format("chmod 600 {}", path.string()));
  }
  std::string text(max_bytes + 1, '\0');
  const ssize_t got = ::read(file.get(), text.data(), text.size());
  if (got < 0) throw io_error("read " + name, errno);
  if (static_cast<std::size_t>(got) > max_bytes) {
    throw Error(ErrorKind::corrupt, fmt::format("{}: longer than {} bytes", name, max_bytes));
  }
  text.resize(static_cast<std::size_t>(got));
  return text;
}

void create_private_file(const std::filesystem::path& path, std::string_view what,
                         std::string text) {
  const std::string name = fmt::format("{} {}", what, path.string());
  const FileDescriptor file(
      ::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, S_IRUSR | S_IWUSR));
  if (!file.valid() && errno == EEXIST) {
    throw Error(ErrorKind::usage, name + " is there already", "remove it, or name another file");
  }
  if (!file.valid()) throw io_error("create " + name, errno);
  const bool written =
      ::write(file.get(), text.data(), text.size()) == static_cast<ssize_t>(text.size()) &&
      ::fsync(file.get()) == 0;
  const int error_number = errno;
  ::explicit_bzero(text.data(), text.size());
  if (written) return;
  ::unlink(path.c_str());
  throw io_error("write " + name, error_number);
}

}  // namespace ptrain::os
