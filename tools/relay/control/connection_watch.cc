#include "tools/relay/control/connection_watch.h"

#include <cstring>
#include <limits>
#include <optional>
#include <string>
#include <vector>

#include <arpa/inet.h>
#include <fmt/format.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include "libcommon/net/endpoint.h"
#include "libcommon/net/zmq/zmq_parts.h"

namespace ptrain::relay {
namespace {

constexpr int kWatched = ZMQ_EVENT_ACCEPTED | ZMQ_EVENT_DISCONNECTED;

struct Peer {
  SourceAddress address;
  std::string whole;  // with the port
};

std::optional<Peer> peer_of(int fd) {
  sockaddr_storage storage{};
  socklen_t size = sizeof storage;
  if (::getpeername(fd, reinterpret_cast<sockaddr*>(&storage), &size) != 0) return std::nullopt;
  char text[INET6_ADDRSTRLEN] = "";
  std::uint16_t port = 0;
  if (storage.ss_family == AF_INET) {
    const auto* in = reinterpret_cast<const sockaddr_in*>(&storage);
    ::inet_ntop(AF_INET, &in->sin_addr, text, sizeof text);
    port = ntohs(in->sin_port);
  } else if (storage.ss_family == AF_INET6) {
    const auto* in6 = reinterpret_cast<const sockaddr_in6*>(&storage);
    ::inet_ntop(AF_INET6, &in6->sin6_addr, text, sizeof text);
    port = ntohs(in6->sin6_port);
  } else {
    return std::nullopt;
  }
  return Peer{.address = source_of(storage), .whole = fmt::format("{} {}", text, port)};
}

std::optional<std::uint16_t> own_port_of(int fd) {
  sockaddr_storage storage{};
  socklen_t size = sizeof storage;
  if (::getsockname(fd, reinterpret_cast<sockaddr*>(&storage), &size) != 0) return std::nullopt;
  // At the same place in both.
  return ntohs(reinterpret_cast<const sockaddr_in*>(&storage)->sin_port);
}

std::optional<tcp_info> info_of(int fd) {
  tcp_info info{};
  socklen_t size = sizeof info;
  if (::getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &size) != 0) return std::nullopt;
  return info;
}

// Readable to libzmq only when so much has come, or the end. Linux takes half of the receive buffer
// for more than that; a greeting is 64 bytes, and stays where it is.
void set_least_readable(int fd, int bytes) {
  static_cast<void>(::setsockopt(fd, SOL_SOCKET, SO_RCVLOWAT, &bytes, sizeof bytes));
}
void read_now(int fd) { set_least_readable(fd, 1); }
// Unless the descriptor has become another socket's: that one would never be read.
void read_later(int fd, const std::string& peer) {
  set_least_readable(fd, std::numeric_limits<int>::max());
  if (const auto now = peer_of(fd); !now || now->whole != peer) read_now(fd);
}

}  // namespace

ConnectionWatch::ConnectionWatch(zmq::context_t& context, zmq::socket_t& socket,
                                 ConnectionLimits limits)
    : watched_(socket),
      events_(context, zmq::socket_type::pair),
      limits_(limits),
      arrivals_(limits.arrivals) {
  constexpr const char* kAddress = "inproc://control-connections";
  if (zmq_socket_monitor(socket.handle(), kAddress, kWatched) != 0) throw zmq::error_t();
  events_.set(zmq::sockopt::linger, 0);
  // libzmq's own thread writes here, and would wait.
  events_.set(zmq::sockopt::rcvhwm, 0);
  events_.connect(kAddress);
}

ConnectionWatch::~ConnectionWatch() { zmq_socket_monitor(watched_.handle(), nullptr, 0); }

void ConnectionWatch::process(TimePoint now) {
  read_events(now);
  const bool all = !checked_ || now - *checked_ >= kConnectionCheck;
  if (!all && checked_strangers_ && now - *checked_strangers_ < kStrangerCheck) return;
  checked_strangers_ = now;
  for (const SourceAddress& address : waiting_.addresses()) let_in_whose_turn_it_is(address, now);
  std::vector<int> wrong;
  const auto check = [&](int fd) {
    if (breaks_a_limit(fd, connections_.at(fd), now)) wrong.push_back(fd);
  };
  if (all) {
    checked_ = now;
    const std::set<int> heard_of = signals_.take();
    for (auto& [fd, connection] : connections_) {
      const bool quiet = !connection.in_flight && !connection.unsignalled && !heard_of.contains(fd);
      if (quiet) connection.taken = now;
      if (quiet ? is_late(connection, now) : breaks_a_limit(fd, connection, now)) {
        wrong.push_back(fd);
      }
    }
  } else {
    for (const auto& [number, fd] : strangers_.all()) check(fd);
    for (const auto& [number, fd] : waiting_.all()) check(fd);
  }
  for (const int fd : wrong) cut(fd);
}

void ConnectionWatch::read_events(TimePoint now) {
  while (const auto message = net::receive_parts(events_, 2)) {
    if (message->parts.size() != 2 || message->parts[0].size() < 6) continue;
    std::uint16_t event = 0;
    std::uint32_t fd = 0;
    const auto* bytes = static_cast<const std::byte*>(message->parts[0].data());
    std::memcpy(&event, bytes, sizeof event);
    std::memcpy(&fd, bytes + sizeof event, sizeof fd);
    if (event == ZMQ_EVENT_ACCEPTED) accepted(static_cast<int>(fd), now);
    if (event == ZMQ_EVENT_DISCONNECTED) forget(static_cast<int>(fd));
  }
}

void ConnectionWatch::accepted(int fd, TimePoint now) {
  forget(fd);
  const auto peer = peer_of(fd);
  if (!peer || !is_ours(fd)) return;  // gone already
  ++totals_.accepted;
  Connection& connection = connections_[fd];
  connection = {.peer = peer->whole,
                .address = peer->address,
                .number = totals_.accepted,
                .accepted = now,
                .useful = now,
                .taken = now,
                .unsignalled = !signals_.add(fd)};
  per_address_.add(connection.address);
  if (per_address_.counted(connection.address) > limits_.connections_per_address) return cut(fd);
  const SourceAddress address = connection.address;
  waiting_.add(address, connection.number, fd);
  let_in_whose_turn_it_is(address, now);
  if (waiting_.has(totals_.accepted)) read_later(fd, peer->whole);
  make_room();
}

// Its descriptor may have become another socket's since, of the data port.
bool ConnectionWatch::is_ours(int fd) {
  if (port_ == 0) port_ = net::parse_endpoint(watched_.get(zmq::sockopt::last_endpoint)).port;
  return own_port_of(fd) == port_;
}

void ConnectionWatch::let_in_whose_turn_it_is(const SourceAddress& address, TimePoint now) {
  while (waiting_.counted(address) > 0 && arrivals_.has(address, now)) {
    arrivals_.spend(address, now);
    const int fd = waiting_.oldest_of(address);
    read_now(fd);
    enter_as(connections_.at(fd), fd, Standing::stranger);
    make_room();
  }
}

// Who came first has had its time; who is about to make its request is lost with it only if
// hundreds of others came from its address between its connection and that, or all addresses have
// as few.
void ConnectionWatch::make_room() {
  const auto crowd = waiting_.largest();
  if (crowd && (waiting_.counted(*crowd) > limits_.waiting_per_address ||
                waiting_.size() > limits_.waiting || connections_.size() > limits_.connections)) {
    cut(waiting_.oldest_of(*crowd));
  }
  const auto largest = strangers_.largest();
  if (largest &&
      (strangers_.counted(*largest) > limits_.strangers_per_address ||
       strangers_.size() > limits_.strangers || connections_.size() > limits_.connections)) {
    cut(strangers_.oldest_of(*largest));
  }
}

void ConnectionWatch::heard(int fd, const std::string& id, Standing from, TimePoint now) {
  const auto entry = connections_.find(fd);
  if (entry == connections_.end()) return;
  Connection& connection = entry->second;
  connection.asked = true;
  if (connection.id != id) {
    by_id_.erase(connection.id);
    connection.id = id;
    by_id_[id] = fd;
  }
  if (from != Standing::stranger) connection.useful = now;
  if (from != connection.standing || waiting_.has(connection.number)) {
    // One that waited was read before it could be told to wait.
    if (waiting_.has(connection.number)) read_now(fd);
    enter_as(connection, fd, from);
    if (from == Standing::stranger) make_room();
  }
  if (const auto info = info_of(fd)) connection.received_at_request = info->tcpi_bytes_received;
}

void ConnectionWatch::cut(int fd) {
  const auto entry = connections_.find(fd);
  if (entry == connections_.end()) return;
  const auto peer = peer_of(fd);
  if (peer && peer->whole == entry->second.peer) {
    ::shutdown(fd, SHUT_RDWR);
    ++totals_.cut;
  }
  forget(fd);
}

void ConnectionWatch::forget(int fd) {
  const auto entry = connections_.find(fd);
  if (entry == connections_.end()) return;
  if (entry->second.standing == Standing::member) ended_.insert(entry->second.id);
  enter_as(entry->second, fd, Standing::member);  // no stranger
  per_address_.remove(entry->second.address);
  all_was_taken(entry->second);
  by_id_.erase(entry->second.id);
  signals_.remove(fd);
  connections_.erase(entry);
}

bool ConnectionWatch::may_send(const std::string& id, std::size_t bytes) {
  const auto found = by_id_.find(id);
  if (found == by_id_.end()) return true;  // its first answer, or it is gone
  Connection& connection = connections_.at(found->second);
  if (connection.unsent + bytes > limits_.unsent_bytes) return false;
  if (unsent_ > limits_.unsent_bytes_of_all && connection.unsent > limits_.unsent_share)
    return false;
  connection.unsent += bytes;
  connection.in_flight = true;
  unsent_ += bytes;
  return true;
}

void ConnectionWatch::all_was_taken(Connection& connection) {
  unsent_ -= connection.unsent;
  connection.unsent = 0;
}

void ConnectionWatch::enter_as(Connection& connection, int fd, Standing standing) {
  waiting_.remove(connection.address, connection.number);
  connection.standing = standing;
  if (standing != Standing::stranger) {
    strangers_.remove(connection.address, connection.number);
  } else if (!strangers_.has(connection.number)) {
    strangers_.add(connection.address, connection.number, fd);
  }
}

std::uint64_t ConnectionWatch::unread_limit(const Connection& connection) const {
  if (waiting_.has(connection.number)) return limits_.waiting_unread_bytes;
  switch (connection.standing) {
    case Standing::stranger:
      return limits_.stranger_unread_bytes;
    case Standing::member:
      return limits_.member_unread_bytes;
    case Standing::neighbour:
      break;
  }
  return limits_.neighbour_unread_bytes;
}

bool ConnectionWatch::is_late(const Connection& connection, TimePoint now) const {
  if (!connection.asked && now - connection.accepted > limits_.first_request) return true;
  if (now - connection.useful > limits_.useful_request) return true;
  return waiting_.has(connection.number) && now - connection.accepted > limits_.wait;
}

bool ConnectionWatch::breaks_a_limit(int fd, Connection& connection, TimePoint now) {
  if (is_late(connection, now)) return true;
  // Where the descriptor is another socket's by now, cut() sees that.
  const auto info = info_of(fd);
  if (!info) return true;
  if (info->tcpi_bytes_received - connection.received_at_request > unread_limit(connection)) {
    return true;
  }
  const bool waiting = info->tcpi_notsent_bytes > 0;
  connection.in_flight = waiting || info->tcpi_unacked > 0;
  if (!waiting) all_was_taken(connection);
  if (!waiting || info->tcpi_bytes_acked != connection.acknowledged) {
    connection.acknowledged = info->tcpi_bytes_acked;
    connection.taken = now;
  }
  return now - connection.taken > limits_.stuck;
}

}  // namespace ptrain::relay
