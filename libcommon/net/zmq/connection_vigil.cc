#include "libcommon/net/zmq/connection_vigil.h"

namespace ptrain::net {

void ConnectionVigil::begin(int socket, TimePoint now) {
  socket_ = socket;
  silence_ = {};
  next_look_ = now + os::kTcpSilenceInterval;
}

bool ConnectionVigil::silent(TimePoint now) {
  if (now < next_look()) return false;
  next_look_ = now + os::kTcpSilenceInterval;
  const auto state = os::read_tcp_state(socket_);
  if (!state) end();  // a socket file
  return state && silence_.noticed(*state, now);
}

}  // namespace ptrain::net
