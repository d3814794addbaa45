#include "libcommon/base/random_source.h"

#include <cerrno>

#include <sys/random.h>

#include "libcommon/base/error.h"

namespace ptrain {

void SystemRandom::fill(std::span<std::byte> bytes) {
  while (!bytes.empty()) {
    const ssize_t got = ::getrandom(bytes.data(), bytes.size(), 0);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) throw io_error("read random bytes from the kernel", errno);
    bytes = bytes.subspan(static_cast<std::size_t>(got));
  }
}

}  // namespace ptrain
