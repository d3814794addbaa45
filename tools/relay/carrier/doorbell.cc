#include "tools/relay/carrier/doorbell.h"

#include <cerrno>
#include <cstdint>

#include <sys/eventfd.h>

#include "libcommon/base/error.h"

namespace ptrain::relay {

Doorbell::Doorbell() : event_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {
  if (!event_.valid()) throw io_error("make an eventfd", errno);
}

// Neither call can fail but in ways that leave the bell as it should be: a counter that is
// full rings already, and one that is empty is silent.
void Doorbell::ring() {
  const std::uint64_t one = 1;
  static_cast<void>(!::write(event_.get(), &one, sizeof one));
}

void Doorbell::silence() {
  std::uint64_t rung = 0;
  static_cast<void>(!::read(event_.get(), &rung, sizeof rung));
}

}  // namespace ptrain::relay
