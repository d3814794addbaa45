// Looks after one TCP connection of libzmq's: whether its other end still acknowledges anything.
//
// The socket is libzmq's own, known from its monitor, and only asked: one that has been closed in
// the meantime says nothing, or something of another connection, and costs a connection at most.

#pragma once

#include "libcommon/os/tcp_silence.h"

namespace ptrain::net {

class ConnectionVigil {
 public:
  void begin(int socket, TimePoint now);
  void end() { socket_ = -1; }
  // The connection has fallen silent, as of the last look.
  bool silent(TimePoint now);
  TimePoint next_look() const { return socket_ < 0 ? TimePoint::max() : next_look_; }

 private:
  int socket_ = -1;
  os::TcpSilence silence_;
  TimePoint next_look_{};
};

}  // namespace ptrain::net
