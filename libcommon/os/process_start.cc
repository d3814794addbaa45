#include "libcommon/os/process_start.h"

#include <cerrno>
#include <csignal>
#include <initializer_list>

#include <fcntl.h>
#include <unistd.h>

namespace ptrain::os {
namespace {

void keep_open(int fd) {
  if (::fcntl(fd, F_GETFD) >= 0 || errno != EBADF) return;
  // The lowest number that is free is this one: those below it are open by now. Opened the wrong
  // way round, it answers EBADF to whoever reads from 0 or writes to 1 or 2.
  const int opened = ::open("/dev/null", fd == STDIN_FILENO ? O_WRONLY : O_RDONLY);
  static_cast<void>(opened);  // without /dev/null there is nothing that we could do
}

}  // namespace

void start_process() {
  for (const int fd : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) keep_open(fd);
  for (const int number : {SIGPIPE, SIGXFSZ, SIGTTOU}) ::signal(number, SIG_IGN);
}

}  // namespace ptrain::os
