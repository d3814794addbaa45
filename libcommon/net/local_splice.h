// The near end of a connection that we made ourselves, for libzmq: an abstract socket of this host
// ("ipc://@..."), whose bytes are spliced to that connection and back.
//
// libzmq cannot be handed a socket that is connected (ZMQ_USE_FD is for listeners), so what goes
// through a relay, or was punched through NATs, meets it here. Free functions, for the thread that
// looks after the connection; all end soon after `stop` becomes readable.

#pragma once

#include <functional>
#include <optional>
#include <string>

#include "libcommon/base/clock.h"
#include "libcommon/net/carried_bytes.h"
#include "libcommon/os/file_descriptor.h"

namespace ptrain::net {

// Where the local end meets libzmq: we dial a socket that is bound there, or bind there ourselves.
enum class LocalEnd { dials, listens };

// Without '@'; nobody on this host guesses it.
inline constexpr std::size_t kLocalNameBytes = 20;

// `ready` is called when libzmq may come, or has been reached. nullopt: told to stop. Throws
// Error(io) when it cannot be had, Error(unavailable) when libzmq does not come in time, or another
// user of this host does.
std::optional<os::FileDescriptor> meet_libzmq(LocalEnd end, const std::string& name, int stop,
                                              const std::function<void()>& ready);

// Until one way has ended, the remote end falls silent (os/tcp_silence.h), or `stop`. Both are
// non-blocking. `carried` counts what goes to libzmq.
void splice_both_ways(int remote, int local, int stop, CarriedBytes& carried);

}  // namespace ptrain::net
