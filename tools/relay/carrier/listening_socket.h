// Sockets that wait for strangers on a host and a port, for the data port and the echo.

#pragma once

#include <cstdint>
#include <string>

#include "libcommon/os/file_descriptor.h"

namespace ptrain::relay {

// Nonblocking, bound, and, for SOCK_STREAM, listening. `host` is an address as endpoints
// write it ("0.0.0.0", "[::]", or "*" for every IPv4 address); port 0: any.
// Throws Error(io) when it cannot be bound, Error(usage) when `host` is no address.
os::FileDescriptor listening_socket(const std::string& host, std::uint16_t port, int type);

std::uint16_t port_of(const os::FileDescriptor& socket);

}  // namespace ptrain::relay
