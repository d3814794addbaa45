// How many bytes of another host have been put into a socket of this one so far, for libzmq to
// read.
//
// The kernel counts those of a TCP connection, and none of a socket file. Without that number there
// would be no telling what libzmq holds of what came through a tunnel (zmq/connection_guard.h). One
// thread counts, others read.

#pragma once

#include <atomic>
#include <cstdint>

namespace ptrain::net {

using CarriedBytes = std::atomic<std::uint64_t>;

}  // namespace ptrain::net
