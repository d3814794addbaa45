#include "tools/relay/control/connection_watch.h"

#include <cstring>
#include <optional>
#include <vector>

#include <arpa/inet.h>
#include <fmt/format.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include "libcommon/net/zmq_parts.h"

namespace ptrain::relay {
namespace {

constexpr int kWatched = ZMQ_EVENT_ACCEPTED | ZMQ_EVENT_DISCONNECTED;

struct Peer {
  std::string address;
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
  return Peer{.address = text, .whole = fmt::format("{} {}", text, port)};
}

std::optional<tcp_info> info_of(int fd) {
  tcp_info info{};
  socklen_t size = sizeof info;
  if (::getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &size) != 0) return std::nullopt;
  return info;
}

}  // namespace

ConnectionWatch::ConnectionWatch(zmq::context_t& context, zmq::socket_t& socket,
                                 ConnectionLimits limits)
    : watched_(socket), events_(context, zmq::socket_type::pair), limits_(limits) {
  constexpr const char* kAddress = "inproc://control-connections";
  if (zmq_socket_monitor(socket.handle(), kAddress, kWatched) != 0) throw zmq::error_t();
  events_.set(zmq::sockopt::linger, 0);
  // libzmq's own thread writes here, and would wait.
  events_.set(zmq::sockopt::rcvhwm, 0);
  events_.connect(kAddress);
}

ConnectionWatch::~ConnectionWatch() { zmq_socket_monitor(watched_.handle(), nullptr, 0); }

void ConnectionWatch::process(TimePoint now) {
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
  if (checked_ && now - *checked_ < kConnectionCheck) return;
  checked_ = now;
  std::vector<int> gone;
  std::vector<int> wrong;
  for (auto& [fd, connection] : connections_) {
    const auto peer = peer_of(fd);
    if (!peer || peer->whole != connection.peer) {
      // Closed meanwhile, and the descriptor may be another socket's by now.
      gone.push_back(fd);
    } else if (breaks_a_limit(fd, connection, now)) {
      wrong.push_back(fd);
    }
  }
  for (const int fd : gone) forget(fd);
  for (const int fd : wrong) cut(fd);
}

void ConnectionWatch::accepted(int fd, TimePoint now) {
  forget(fd);
  const auto peer = peer_of(fd);
  if (!peer) return;  // gone already
  const std::uint64_t number = ++totals_.accepted;
  connections_[fd] = {.peer = peer->whole,
                      .address = peer->address,
                      .number = number,
                      .accepted = now,
                      .useful = now,
                      .taken = now};
  silent_[number] = fd;
  auto& neighbours = silent_of_address_[peer->address];
  neighbours[number] = fd;
  // Who came first has had its time; who is about to make its request would be lost with it
  // only if hundreds of others came between its connection and that.
  if (neighbours.size() > limits_.silent_per_address) {
    cut(neighbours.begin()->second);
  } else if (silent_.size() > limits_.silent || connections_.size() > limits_.connections) {
    cut(silent_.begin()->second);
  }
}

void ConnectionWatch::heard(int fd, bool useful, TimePoint now) {
  const auto entry = connections_.find(fd);
  if (entry == connections_.end()) return;
  Connection& connection = entry->second;
  no_longer_silent(connection);
  if (useful) connection.useful = now;
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
  no_longer_silent(entry->second);
  connections_.erase(entry);
}

void ConnectionWatch::no_longer_silent(Connection& connection) {
  if (!connection.silent) return;
  connection.silent = false;
  silent_.erase(connection.number);
  const auto neighbours = silent_of_address_.find(connection.address);
  neighbours->second.erase(connection.number);
  if (neighbours->second.empty()) silent_of_address_.erase(neighbours);
}

bool ConnectionWatch::breaks_a_limit(int fd, Connection& connection, TimePoint now) const {
  if (connection.silent && now - connection.accepted > limits_.first_request) return true;
  if (now - connection.useful > limits_.useful_request) return true;
  const auto info = info_of(fd);
  if (!info) return false;
  if (info->tcpi_bytes_received - connection.received_at_request > limits_.unread_bytes) {
    return true;
  }
  const bool waiting = info->tcpi_notsent_bytes > 0;
  if (!waiting || info->tcpi_bytes_acked != connection.acknowledged) {
    connection.acknowledged = info->tcpi_bytes_acked;
    connection.taken = now;
  }
  return now - connection.taken > limits_.stuck;
}

}  // namespace ptrain::relay
