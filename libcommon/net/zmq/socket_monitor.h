// What libzmq notices about the connections of one socket, as values to be read
// without waiting. Network thread only; must go before its socket does.

#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include <zmq.hpp>

namespace ptrain::net {

class SocketMonitor {
 public:
  enum class Kind {
    accepted,   // someone has come, and no handshake yet
    reached,    // there is a connection that we made, and no handshake yet
    connected,  // its handshake succeeded
    refused,    // the other side does not accept our key
    garbled,    // the handshake failed: another protocol, or another key
    closed,     // the connection broke, or could not be made
  };
  struct Event {
    Kind kind;
    std::string address;
    int socket = -1;  // libzmq's, where there is or was a connection
  };

  SocketMonitor(zmq::context_t& context, zmq::socket_t& socket);
  ~SocketMonitor();
  SocketMonitor(const SocketMonitor&) = delete;
  SocketMonitor& operator=(const SocketMonitor&) = delete;

  zmq::socket_t& events() { return events_; }
  std::optional<Event> next();

 private:
  zmq::socket_t& watched_;
  zmq::socket_t events_;
};

}  // namespace ptrain::net
