// The TCP connections below one ZeroMQ socket: how many strangers there may be, and what each
// connection may make us hold.
//
// libzmq bounds neither. It accepts until there are no descriptors left; it keeps a handshake, and
// a message whose parts never end, until they are complete. So its sockets are looked at from
// outside: the kernel says how many bytes have come, libzmq's monitor which socket is new or gone,
// and each message from which socket it is. What came and was not part of a message that could be
// read is what libzmq holds. A look costs two system calls a connection. All are looked at every
// kGuardSweep, and every kGuardInterval those at which bytes come faster than libzmq takes them.
// Who breaks a bound is cut off by shutting the socket down, which libzmq takes for the peer's
// doing.
//
// A connection is a stranger until it has said who it is and was let in (introduced()). Of socket
// files those are looked at that lead to another host (CarriedBytes): who can open another is a
// user of this one. One thread, that of the socket.

#pragma once

#include <algorithm>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include <zmq.hpp>

#include "libcommon/base/clock.h"
#include "libcommon/net/carried_bytes.h"
#include "libcommon/net/zmq/zmq_parts.h"
#include "libcommon/os/descriptor_limit.h"
#include "libcommon/os/file_descriptor.h"
#include "libcommon/wire/envelope.h"

namespace ptrain::net {

// What libzmq reads at a time, and a handshake.
inline constexpr std::uint64_t kGuardSlackBytes = 16u << 10;
inline constexpr Duration kGuardInterval = std::chrono::milliseconds(10);
inline constexpr Duration kGuardSweep = std::chrono::milliseconds(250);

struct ConnectionBounds {
  // Of more, the oldest of the address that has the most is cut off: who has just come, and is
  // about to say who it is, stays. An IPv6 address counts as its /64. Of our descriptors strangers
  // hold a quarter at most.
  std::size_t strangers = std::min<std::size_t>(256, os::descriptor_limit() / 4);
  std::size_t strangers_of_one_address = 64;
  // From the connection to the end of the first hello; both are bounds of what a stranger can hold.
  // Who dials us gives the handshake as long, and the answer to its hello two seconds more.
  Duration introduction = kHandshakeTimeout + std::chrono::seconds(2);
  std::uint64_t stranger_bytes = wire::kMaxHeaderBytes + kGuardSlackBytes;
  // Of a message that is not complete: one of a header and a payload fits.
  std::uint64_t unfinished_bytes =
      static_cast<std::uint64_t>(kMaxPartBytes) + wire::kMaxHeaderBytes + kGuardSlackBytes;
  // For what was said last, after we have closed our end.
  Duration farewell = std::chrono::seconds(2);
};

class ConnectionGuard {
 public:
  // `carried` is of the one connection of a socket file that leads to another host.
  explicit ConnectionGuard(ConnectionBounds bounds = {},
                           std::shared_ptr<const CarriedBytes> carried = nullptr)
      : bounds_(bounds), carried_(std::move(carried)) {}
  ConnectionGuard(const ConnectionGuard&) = delete;
  ConnectionGuard& operator=(const ConnectionGuard&) = delete;

  // As the monitor tells.
  void opened(int socket, TimePoint now);
  void gone(int socket);

  // A whole message was read, of so many bytes on the wire.
  void took(int socket, std::uint64_t bytes);
  // There is no whole message left to read.
  void nothing_waits() { ++drained_; }
  void introduced(int socket);
  // We have no more business with it.
  void closed(int socket, TimePoint now);

  void add_poll_items(std::vector<PollItem>& items);
  TimePoint next_tick() const;
  // Cuts off who breaks a bound, and says whom and why.
  std::vector<std::string> look(TimePoint now);

  std::size_t strangers() const { return strangers_.size(); }

 private:
  struct Connection {
    std::string peer;     // address and port, as the kernel has them
    std::string address;  // what counts as one
    std::uint64_t number = 0;
    bool stranger = true;
    TimePoint ends = TimePoint::max();  // unless it introduces itself before, or for good
    std::uint64_t taken_bytes = 0;
    std::uint64_t taken_messages = 0;
    // When it was found to hold too much: what had been read then.
    struct Suspicion {
      std::uint64_t messages_of_it = 0;
      std::uint64_t messages = 0;
      std::uint64_t drained = 0;
    };
    std::optional<Suspicion> suspicion;
  };

  void prepare();
  void watch(int socket, int operation);
  std::vector<int> take_arrivals();
  void no_longer_stranger(Connection& connection);
  void thin_out();
  void end_late(TimePoint now);
  void look_at(int socket);
  bool has_been_read(const Connection::Suspicion& since) const;
  std::optional<std::string> flaw_of(int socket, Connection& connection);
  void cut(int socket, const std::string& why);

  ConnectionBounds bounds_;
  std::shared_ptr<const CarriedBytes> carried_;
  // An epoll instance, made for the first connection. Where there is no descriptor for it, sweeps
  // must do.
  os::FileDescriptor arrivals_;
  std::unordered_map<int, Connection> connections_;
  std::map<std::uint64_t, int> strangers_;  // by number: the oldest first
  std::map<std::string, std::map<std::uint64_t, int>> strangers_of_;
  std::map<int, TimePoint> closed_;
  std::uint64_t numbers_ = 0;
  std::uint64_t drained_ = 0;   // how often nothing waited
  std::uint64_t messages_ = 0;  // read, of all connections
  std::vector<int> suspects_;
  bool armed_ = true;      // nothing has come: the descriptor wakes us, not the time
  TimePoint next_look_{};  // otherwise
  TimePoint next_sweep_{};
  std::vector<std::string> reports_;
};

}  // namespace ptrain::net
