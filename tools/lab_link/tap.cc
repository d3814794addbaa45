#include "tools/lab_link/tap.h"

#include <cerrno>
#include <cstring>
#include <utility>

#include <fcntl.h>
#include <linux/if.h>
#include <linux/if_tun.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "libcommon/base/error.h"

namespace ptrain::lab_link {

Tap::Tap(std::string name) : name_(std::move(name)) {
  if (name_.empty() || name_.size() >= IFNAMSIZ) {
    throw Error(ErrorKind::usage, "device name '" + name_ + "': expected 1 to 15 characters");
  }
  fd_ = os::FileDescriptor(::open("/dev/net/tun", O_RDWR | O_CLOEXEC | O_NONBLOCK));
  if (!fd_.valid())
    throw io_error("open /dev/net/tun", errno,
                   "a long link needs the device, and the right to open it");
  ifreq request{};
  // No IFF_VNET_HDR: without it there is no way to hand over a frame that is yet to be cut.
  request.ifr_flags = static_cast<short>(IFF_TAP | IFF_NO_PI | IFF_TUN_EXCL);
  std::memcpy(request.ifr_name, name_.c_str(), name_.size());
  if (::ioctl(fd_.get(), TUNSETIFF, &request) != 0) {
    const int why = errno;
    if (why == EBUSY) throw Error(ErrorKind::usage, "device " + name_ + " exists");
    throw io_error("make the network device " + name_, why);
  }
}

std::optional<std::span<const std::byte>> Tap::read(std::span<std::byte> room) {
  const ssize_t count = ::read(fd_.get(), room.data(), room.size());
  if (count >= 0) return room.first(static_cast<std::size_t>(count));
  if (errno == EAGAIN || errno == EINTR) return std::nullopt;
  throw io_error("read from the network device " + name_, errno);
}

void Tap::write(std::span<const std::byte> frame) {
  if (::write(fd_.get(), frame.data(), frame.size()) >= 0) return;
  // EIO: down. EINVAL: a frame that the kernel finds malformed. ENOMEM, ENOBUFS: a full machine.
  if (errno != EBADFD) return;
  throw io_error("write to the network device " + name_, errno);
}

}  // namespace ptrain::lab_link
