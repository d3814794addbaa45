#include "libcommon/net/zmq/connection_guard.h"

#include <algorithm>
#include <array>
#include <iterator>
#include <utility>

#include <arpa/inet.h>
#include <fmt/format.h>
#include <linux/sockios.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "libcommon/net/address_reach.h"

namespace ptrain::net {
namespace {

constexpr int kEventsAtOnce = 64;

struct Remote {
  std::string peer;
  std::string address;
};

// A socket file of ours has no address, but a number of its own.
std::optional<Remote> carrier_of(int socket) {
  struct stat status {};
  if (::fstat(socket, &status) != 0 || !S_ISSOCK(status.st_mode)) return std::nullopt;
  return Remote{fmt::format("tunnel {}", status.st_ino), "tunnel"};
}

// nullopt where the socket is gone, or no TCP socket.
std::optional<Remote> tcp_remote_of(int socket) {
  sockaddr_storage storage{};
  socklen_t size = sizeof storage;
  if (::getpeername(socket, reinterpret_cast<sockaddr*>(&storage), &size) != 0) return std::nullopt;
  char text[INET6_ADDRSTRLEN] = "";
  if (storage.ss_family == AF_INET) {
    const auto& in = reinterpret_cast<const sockaddr_in&>(storage);
    ::inet_ntop(AF_INET, &in.sin_addr, text, sizeof text);
    return Remote{fmt::format("{}:{}", text, ntohs(in.sin_port)), text};
  }
  if (storage.ss_family != AF_INET6) return std::nullopt;
  const auto& in6 = reinterpret_cast<const sockaddr_in6&>(storage);
  ::inet_ntop(AF_INET6, &in6.sin6_addr, text, sizeof text);
  return Remote{fmt::format("[{}]:{}", text, ntohs(in6.sin6_port)),
                counted_as(parse_address(text).value())};
}

std::optional<Remote> remote_of(int socket, const CarriedBytes* carried) {
  return carried == nullptr ? tcp_remote_of(socket) : carrier_of(socket);
}

std::optional<std::uint64_t> bytes_received(int socket) {
  tcp_info info{};
  socklen_t size = sizeof info;
  if (::getsockopt(socket, IPPROTO_TCP, TCP_INFO, &info, &size) != 0) return std::nullopt;
  return info.tcpi_bytes_received;
}

// What libzmq has read from the kernel.
std::optional<std::uint64_t> bytes_read(int socket, const CarriedBytes* carried) {
  const auto come = carried == nullptr ? bytes_received(socket) : std::optional(carried->load());
  int waiting = 0;
  if (!come || ::ioctl(socket, SIOCINQ, &waiting) != 0) return std::nullopt;
  const std::uint64_t received = *come;
  return received - std::min(received, static_cast<std::uint64_t>(std::max(waiting, 0)));
}

}  // namespace

// ---- Connections come and go.

void ConnectionGuard::opened(int socket, TimePoint now) {
  gone(socket);
  auto remote = remote_of(socket, carried_.get());
  if (!remote) return;
  Connection& connection = connections_[socket];
  connection.peer = std::move(remote->peer);
  connection.address = std::move(remote->address);
  connection.number = ++numbers_;
  connection.ends = now + bounds_.introduction;
  strangers_[connection.number] = socket;
  strangers_of_[connection.address][connection.number] = socket;
  if (connections_.size() == 1) next_sweep_ = now + kGuardSweep;
  prepare();
  watch(socket, EPOLL_CTL_ADD);
  thin_out();
}

void ConnectionGuard::gone(int socket) {
  const auto found = connections_.find(socket);
  if (found == connections_.end()) return;
  no_longer_stranger(found->second);
  closed_.erase(socket);
  connections_.erase(found);
}

void ConnectionGuard::introduced(int socket) {
  const auto found = connections_.find(socket);
  if (found == connections_.end()) return;
  no_longer_stranger(found->second);
}

void ConnectionGuard::closed(int socket, TimePoint now) {
  if (connections_.contains(socket)) closed_.emplace(socket, now + bounds_.farewell);
}

void ConnectionGuard::no_longer_stranger(Connection& connection) {
  if (!std::exchange(connection.stranger, false)) return;
  strangers_.erase(connection.number);
  const auto same = strangers_of_.find(connection.address);
  same->second.erase(connection.number);
  if (same->second.empty()) strangers_of_.erase(same);
}

void ConnectionGuard::thin_out() {
  const auto most = std::ranges::max_element(strangers_of_, {},
                                             [](const auto& entry) { return entry.second.size(); });
  if (most == strangers_of_.end()) return;
  if (most->second.size() <= bounds_.strangers_of_one_address &&
      strangers_.size() <= bounds_.strangers) {
    return;
  }
  cut(most->second.begin()->second, "too many connections that have not said who they are");
}

// ---- What they hold.

void ConnectionGuard::took(int socket, std::uint64_t bytes) {
  ++messages_;
  const auto found = connections_.find(socket);
  if (found == connections_.end()) return;
  found->second.taken_bytes += bytes;
  ++found->second.taken_messages;
}

void ConnectionGuard::prepare() {
  if (arrivals_.valid()) return;
  arrivals_ = os::FileDescriptor(::epoll_create1(EPOLL_CLOEXEC));
  for (const auto& [socket, connection] : connections_) watch(socket, EPOLL_CTL_ADD);
}

// One event for all that comes until the next look. What libzmq has taken by then is none, and what
// it leaves in the kernel, because its queue is full, is one.
void ConnectionGuard::watch(int socket, int operation) {
  epoll_event event{};
  event.events = EPOLLIN | EPOLLONESHOT;
  event.data.fd = socket;
  ::epoll_ctl(arrivals_.get(), operation, socket, &event);
}

std::vector<int> ConnectionGuard::take_arrivals() {
  std::vector<int> sockets;
  if (!arrivals_.valid()) return sockets;
  std::array<epoll_event, kEventsAtOnce> events{};
  const int count = ::epoll_wait(arrivals_.get(), events.data(), kEventsAtOnce, 0);
  for (int i = 0; i < count; ++i) sockets.push_back(events[static_cast<std::size_t>(i)].data.fd);
  return sockets;
}

void ConnectionGuard::add_poll_items(std::vector<PollItem>& items) {
  if (armed_ && arrivals_.valid()) items.push_back({.fd = arrivals_.get()});
}

TimePoint ConnectionGuard::next_tick() const {
  if (connections_.empty()) return TimePoint::max();
  TimePoint next = armed_ ? next_sweep_ : std::min(next_look_, next_sweep_);
  if (!strangers_.empty()) {
    next = std::min(next, connections_.at(strangers_.begin()->second).ends);
  }
  for (const auto& [socket, ends] : closed_) next = std::min(next, ends);
  return next;
}

std::vector<std::string> ConnectionGuard::look(TimePoint now) {
  end_late(now);
  const bool sweep = now >= next_sweep_;
  if (armed_ || sweep || now >= next_look_) {
    std::vector<int> sockets = std::exchange(suspects_, {});
    std::ranges::copy(take_arrivals(), std::back_inserter(sockets));
    armed_ = sockets.empty();
    next_look_ = now + kGuardInterval;
    for (const int socket : sockets) look_at(socket);
  }
  if (sweep) {
    next_sweep_ = now + kGuardSweep;
    std::vector<int> all;
    for (const auto& [socket, connection] : connections_) all.push_back(socket);
    for (const int socket : all) look_at(socket);
  }
  return std::exchange(reports_, {});
}

void ConnectionGuard::look_at(int socket) {
  const auto found = connections_.find(socket);
  if (found == connections_.end()) return;
  if (const auto flaw = flaw_of(socket, found->second)) return cut(socket, *flaw);
  if (!found->second.suspicion) return watch(socket, EPOLL_CTL_MOD);
  if (std::ranges::find(suspects_, socket) == suspects_.end()) suspects_.push_back(socket);
  armed_ = false;
}

void ConnectionGuard::end_late(TimePoint now) {
  while (!strangers_.empty()) {
    const int oldest = strangers_.begin()->second;
    if (now < connections_.at(oldest).ends) break;
    cut(oldest, "it has not said who it is");
  }
  std::vector<int> over;
  for (const auto& [socket, ends] : closed_) {
    if (now >= ends) over.push_back(socket);
  }
  for (const int socket : over) cut(socket, "");
}

std::optional<std::string> ConnectionGuard::flaw_of(int socket, Connection& connection) {
  const auto read = bytes_read(socket, carried_.get());
  if (!read) return std::nullopt;
  const std::uint64_t held = *read - std::min(*read, connection.taken_bytes);
  if (connection.stranger) {
    if (held <= bounds_.stranger_bytes) return std::nullopt;
    return fmt::format("{} bytes before it said who it is", held);
  }
  if (held <= bounds_.unfinished_bytes) {
    connection.suspicion.reset();
    return std::nullopt;
  }
  // Whole messages may wait to be read. If there were any of it, one would have been read since.
  const auto& since = connection.suspicion;
  if (!since || since->messages_of_it != connection.taken_messages) {
    connection.suspicion = {
        .messages_of_it = connection.taken_messages, .messages = messages_, .drained = drained_};
    return std::nullopt;
  }
  if (!has_been_read(*since)) return std::nullopt;
  return fmt::format("a message that does not end, after {} bytes", held);
}

// The socket was read until nothing was left, or so often that each connection had its turn.
bool ConnectionGuard::has_been_read(const Connection::Suspicion& since) const {
  return drained_ != since.drained || messages_ - since.messages > 2 * connections_.size();
}

void ConnectionGuard::cut(int socket, const std::string& why) {
  const auto found = connections_.find(socket);
  if (found == connections_.end()) return;
  // libzmq may have closed it meanwhile, and the number be another socket's.
  const auto remote = remote_of(socket, carried_.get());
  if (remote && remote->peer == found->second.peer) {
    ::shutdown(socket, SHUT_RDWR);
    if (!why.empty()) reports_.push_back(fmt::format("{}: {}", found->second.peer, why));
  }
  gone(socket);
}

}  // namespace ptrain::net
