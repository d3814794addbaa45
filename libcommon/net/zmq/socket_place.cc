#include "libcommon/net/zmq/socket_place.h"

#include <algorithm>
#include <cerrno>

#include <fmt/format.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "libcommon/base/error.h"
#include "libcommon/os/file_descriptor.h"

namespace ptrain::net {
namespace {

std::string kind_of(mode_t mode) {
  if (S_ISREG(mode)) return "a file";
  if (S_ISDIR(mode)) return "a folder";
  if (S_ISLNK(mode)) return "a symbolic link";
  return "no socket";
}

// errno of an attempt to reach who listens at the socket; 0 where somebody does.
int try_connect(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof address.sun_path) return ENAMETOOLONG;
  std::ranges::copy(path, address.sun_path);
  // Not blocking: a listener whose queue is full answers EAGAIN, and lives.
  const os::FileDescriptor socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!socket.valid()) return errno;
  const int result =
      ::connect(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address);
  return result == 0 ? 0 : errno;
}

}  // namespace

void check_socket_place(const std::string& path) {
  struct stat found {};
  if (path.starts_with('@')) return;
  if (::lstat(path.c_str(), &found) != 0) return;  // what else is wrong, the bind will say
  const std::string attempt = fmt::format("listen on ipc://{}", path);
  if (!S_ISSOCK(found.st_mode)) {
    throw Error(ErrorKind::io,
                fmt::format("{}: {} is there, which stays", attempt, kind_of(found.st_mode)),
                "name another path, or move away what is there");
  }
  const int error = try_connect(path);
  if (error == ECONNREFUSED) return;  // whoever bound it is gone
  if (error != 0 && error != EAGAIN) throw io_error(attempt + ", where a socket is", error);
  throw io_error(attempt, EADDRINUSE,
                 "another process listens there: end it, or name another path");
}

}  // namespace ptrain::net
