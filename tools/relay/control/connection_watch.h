// The TCP connections of the control port: how many there may be, and what each must do to stay.
//
// libzmq bounds none of this. A message of endless parts grows in its memory until it ends, a
// handshake that is never finished holds a descriptor for its whole time limit, and nobody counts
// either. So the relay looks at the sockets itself: the kernel tells how many bytes have come in,
// and libzmq which socket a request came from. A connection is cut by shutting its socket down,
// which libzmq takes for the peer's doing. Only what was sent to, or something came from, is asked
// about: a thousand idle members cost nothing. One thread, that of the socket.
//
// A connection is a stranger's until a request of a member, a neighbour or the operator comes over
// it, whatever else has been asked and refused. Strangers are few, and few from one address; of
// more the oldest goes, of the address that has most (fair_share.h): no address takes the places of
// others.
//
// A handshake takes 0.6 ms of the processor, so an address has so many a second. What comes beyond
// that waits, unread, for its turn, the oldest first. Were it cut instead it would come back at
// once: 400 clients of libzmq made 1,800 connections a second so, and nobody else of their address
// got in.

#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>

#include <zmq.hpp>

#include "libcommon/base/clock.h"
#include "tools/relay/carrier/source_address.h"
#include "tools/relay/carrier/source_budgets.h"
#include "tools/relay/control/arrival_order.h"
#include "tools/relay/control/arrival_signals.h"
#include "tools/relay/control/fair_share.h"
#include "tools/relay/control/rate_limits.h"

namespace ptrain::relay {

struct ConnectionLimits {
  std::size_t connections = 20000;
  std::size_t connections_per_address = 2048;
  // Of those, strangers'.
  std::size_t strangers = 1024;
  std::size_t strangers_per_address = 128;
  // Of those that wait until their address may have another handshake.
  std::size_t waiting = 1024;
  std::size_t waiting_per_address = 512;
  // And how long: a member gives its handshake 5 s (net/redial_pace.h).
  Duration wait = std::chrono::seconds(3);
  // For the handshake and the first request; then until a request that counts.
  Duration first_request = std::chrono::seconds(20);
  Duration useful_request = std::chrono::seconds(120);
  // Received since the last whole request: all that libzmq may hold of one that never ends.
  std::uint64_t waiting_unread_bytes = 4u << 10;
  std::uint64_t stranger_unread_bytes = 64u << 10;
  std::uint64_t member_unread_bytes = 256u << 10;
  std::uint64_t neighbour_unread_bytes = 2u << 20;
  // Sent bytes that the peer's host has not taken, without one that it has.
  Duration stuck = std::chrono::seconds(30);
  // What was sent on one connection and may not have left yet; and on all, where those that have
  // much get nothing more.
  std::size_t unsent_bytes = 256u << 10;
  std::size_t unsent_bytes_of_all = 256u << 20;
  std::size_t unsent_share = 32u << 10;
  // Handshakes of an address.
  SourceBudgetLimits arrivals{.burst = 512, .per_s = 64};
};

// Members are looked at so often; strangers, who can send without end, more often.
inline constexpr Duration kConnectionCheck = std::chrono::milliseconds(250);
inline constexpr Duration kStrangerCheck = std::chrono::milliseconds(50);

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
  // A whole request has come on the connection with that descriptor; `id` is its socket's word for
  // it.
  void heard(int fd, const std::string& id, Standing from, TimePoint now);
  void cut(int fd);
  // Whose connections have ended since the last time: members', by their socket's words for them.
  std::set<std::string> take_ended() { return std::exchange(ended_, {}); }
  // Whether so many bytes may be sent there; they count as sent then.
  bool may_send(const std::string& id, std::size_t bytes);

  std::size_t connections() const { return connections_.size(); }
  std::size_t strangers() const { return strangers_.size(); }
  std::size_t waiting() const { return waiting_.size(); }
  const ConnectionTotals& totals() const { return totals_; }

 private:
  struct Connection {
    std::string peer;  // address and port, as the kernel has them
    SourceAddress address;
    std::uint64_t number = 0;  // of those accepted
    TimePoint accepted;
    TimePoint useful;  // the latest request of a member
    bool asked = false;
    Standing standing = Standing::stranger;
    std::uint64_t received_at_request = 0;
    std::uint64_t acknowledged = 0;  // by the peer's host
    TimePoint taken;                 // when it last took something, or had nothing to take
    std::string id{};
    std::size_t unsent = 0;  // since it last had nothing to take
    // Something may be on its way to it; or it is not told of when something comes.
    bool in_flight = false;
    bool unsignalled = false;
  };
  void read_events(TimePoint now);
  void accepted(int fd, TimePoint now);
  bool is_ours(int fd);
  void let_in_whose_turn_it_is(const SourceAddress& address, TimePoint now);
  void make_room();
  void forget(int fd);
  void enter_as(Connection& connection, int fd, Standing standing);
  std::uint64_t unread_limit(const Connection& connection) const;
  bool is_late(const Connection& connection, TimePoint now) const;
  bool breaks_a_limit(int fd, Connection& connection, TimePoint now);
  void all_was_taken(Connection& connection);

  zmq::socket_t& watched_;
  zmq::socket_t events_;
  ConnectionLimits limits_;
  std::uint16_t port_ = 0;  // once it is bound
  std::map<int, Connection> connections_;
  std::map<std::string, int> by_id_;
  std::set<std::string> ended_;
  std::size_t unsent_ = 0;
  FairShare<SourceAddress> per_address_;
  ArrivalOrder strangers_;
  ArrivalOrder waiting_;
  SourceBudgets arrivals_;
  ArrivalSignals signals_;
  std::optional<TimePoint> checked_;
  std::optional<TimePoint> checked_strangers_;
  ConnectionTotals totals_;
};

}  // namespace ptrain::relay
