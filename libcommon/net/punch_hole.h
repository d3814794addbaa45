// A TCP port that we listen at and connect from, by IPv4 and, where there is any, IPv6: what a NAT
// has learnt of it by what we sent holds for who comes, too.
//
// Owns its listening sockets; connections are their owners'. All sockets are non-blocking. Not
// thread-safe.

#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "libcommon/net/numeric_address.h"
#include "libcommon/os/file_descriptor.h"

namespace ptrain::net {

class PunchHole {
 public:
  // `port` 0, or one that is taken: any. Throws Error(io) where there is none at all.
  explicit PunchHole(std::uint16_t port);

  std::uint16_t port() const { return port_; }
  std::vector<int> listeners() const;

  struct Begun {
    os::FileDescriptor socket{};  // being connected; writable when that is decided
    int error = 0;                // errno, where it could not even begin
  };
  Begun connect(const NumericAddress& to) const;

  struct Came {
    os::FileDescriptor socket;
    Endpoint from;
  };
  // nullopt: nobody waits.
  static std::optional<Came> accept(int listener);

 private:
  bool open(std::uint16_t port);

  std::uint16_t port_ = 0;
  os::FileDescriptor v4_;
  os::FileDescriptor v6_;
};

}  // namespace ptrain::net
