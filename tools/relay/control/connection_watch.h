// The TCP connections of the control port: how many there may be, and what each must do to stay.
//
// libzmq bounds none of this. A message of endless parts grows in its memory until it ends, a
// handshake that is never finished holds a descriptor for its whole time limit, and nobody counts
// either. So the relay looks at the sockets itself: the kernel tells how many bytes have come in,
// and libzmq which socket a request came from. A connection is cut by shutting its socket down,
// which libzmq takes for the peer's doing. One thread, that of the socket.

#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>

#include <zmq.hpp>

#include "libcommon/base/clock.h"

namespace ptrain::relay {

struct ConnectionLimits {
  std::size_t connections = 20000;
  // That have not yet made a request: of one address, and of all.
  std::size_t silent_per_address = 512;
  std::size_t silent = 2048;
  // For the handshake and the first request; then until a request that counts: one of a member.
  Duration first_request = std::chrono::seconds(20);
  Duration useful_request = std::chrono::seconds(120);
  // Received since the last whole request: more than all that may wait to be read.
  std::uint64_t unread_bytes = 2u << 20;
  // Sent bytes that the peer's host has not taken, without one that it has.
  Duration stuck = std::chrono::seconds(30);
};

inline constexpr Duration kConnectionCheck = std::chrono::milliseconds(250);

struct ConnectionTotals {
  std::uint64_t accepted = 0;
  std::uint64_t cut = 0;
};

class ConnectionWatch {
 public:
  // `socket` is not bound yet, and outlives the object.
  ConnectionWatch(zmq::context_t& context, zmq::socket_t& socket, ConnectionLimits limits);
  ~ConnectionWatch();
  ConnectionWatch(const ConnectionWatch&) = delete;
  ConnectionWatch& operator=(const ConnectionWatch&) = delete;

  zmq::socket_t& events() { return events_; }

  // Reads what libzmq tells of connections, and cuts those that break the limits.
  void process(TimePoint now);
  // A whole request has come on the connection with that descriptor.
  void heard(int fd, bool useful, TimePoint now);
  void cut(int fd);

  std::size_t connections() const { return connections_.size(); }
  std::size_t silent() const { return silent_.size(); }
  const ConnectionTotals& totals() const { return totals_; }

 private:
  struct Connection {
    std::string peer;          // address and port, as the kernel has them
    std::string address;       // without the port
    std::uint64_t number = 0;  // of those accepted
    TimePoint accepted;
    TimePoint useful;  // the latest request of a member
    bool silent = true;
    std::uint64_t received_at_request = 0;
    std::uint64_t acknowledged = 0;  // by the peer's host
    TimePoint taken;                 // when it last took something, or had nothing to take
  };

  void accepted(int fd, TimePoint now);
  void forget(int fd);
  void no_longer_silent(Connection& connection);
  bool breaks_a_limit(int fd, Connection& connection, TimePoint now) const;

  zmq::socket_t& watched_;
  zmq::socket_t events_;
  ConnectionLimits limits_;
  std::map<int, Connection> connections_;
  // Those that have not made a request: the number and the descriptor of each, oldest first.
  std::map<std::uint64_t, int> silent_;
  std::map<std::string, std::map<std::uint64_t, int>> silent_of_address_;
  std::optional<TimePoint> checked_;
  ConnectionTotals totals_;
};

}  // namespace ptrain::relay
