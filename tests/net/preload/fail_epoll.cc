// Preloaded into ptrain-relay: once there is a file fail-epoll in its folder, epoll_wait(2) fails
// for the program itself (libzmq would abort it), so that a test sees what becomes of a relay one
// of whose threads dies.

#include <cerrno>
#include <cstring>

#include <dlfcn.h>
#include <sys/epoll.h>
#include <unistd.h>

extern "C" int epoll_wait(int epoll, epoll_event* events, int most, int timeout_ms) {
  using EpollWait = int (*)(int, epoll_event*, int, int);
  static const auto real = reinterpret_cast<EpollWait>(::dlsym(RTLD_NEXT, "epoll_wait"));
  Dl_info caller{};
  const bool ours = ::dladdr(__builtin_return_address(0), &caller) != 0 &&
                    std::strstr(caller.dli_fname, "ptrain-relay") != nullptr;
  if (ours && ::access("fail-epoll", F_OK) == 0) {
    errno = EBADF;
    return -1;
  }
  return real(epoll, events, most, timeout_ms);
}
