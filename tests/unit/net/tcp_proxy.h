// A TCP proxy on loopback that passes bytes on and cuts its connections at random,
// deterministically from a seed. For tests of what happens above.

#pragma once

#include <atomic>
#include <cerrno>
#include <iterator>
#include <list>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include <arpa/inet.h>
#include <fmt/format.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "libcommon/base/error.h"
#include "libcommon/os/file_descriptor.h"

namespace ptrain::net {

inline sockaddr_in loopback(std::uint16_t port) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  address.sin_port = htons(port);
  return address;
}

inline os::FileDescriptor connect_to(std::uint16_t port) {
  os::FileDescriptor socket(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  const sockaddr_in address = loopback(port);
  if (::connect(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
    throw io_error(fmt::format("connect to port {}", port), errno);
  }
  return socket;
}

class TcpProxy {
 public:
  // `cut_after_bytes`: a connection is cut after about so many bytes; 0: never.
  TcpProxy(std::uint16_t target, std::size_t cut_after_bytes, std::uint64_t seed)
      : target_(target),
        cut_after_bytes_(cut_after_bytes),
        random_(seed),
        listener_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_in address = loopback(0);
    socklen_t size = sizeof address;
    if (::bind(listener_.get(), reinterpret_cast<sockaddr*>(&address), size) != 0 ||
        ::listen(listener_.get(), 16) != 0 ||
        ::getsockname(listener_.get(), reinterpret_cast<sockaddr*>(&address), &size) != 0) {
      throw io_error("start the proxy", errno);
    }
    port_ = ntohs(address.sin_port);
    thread_ = std::thread([this] { run(); });
  }
  ~TcpProxy() {
    stop_ = true;
    thread_.join();
  }

  std::string endpoint() const { return fmt::format("tcp://127.0.0.1:{}", port_); }
  int cuts() const { return cuts_; }
  // From now on connections live.
  void calm() { calm_ = true; }

 private:
  struct Connection {
    os::FileDescriptor ends[2];
    std::size_t budget;
  };

  void run() {
    while (!stop_) {
      std::vector<pollfd> polled{{listener_.get(), POLLIN, 0}};
      for (const Connection& connection : connections_) {
        for (const auto& end : connection.ends) polled.push_back({end.get(), POLLIN, 0});
      }
      if (::poll(polled.data(), polled.size(), 20) <= 0) continue;
      std::size_t at = 1;
      for (auto it = connections_.begin(); it != connections_.end();) {
        const bool first = polled[at].revents != 0;
        const bool second = polled[at + 1].revents != 0;
        at += 2;
        const bool alive = (!first || pass(*it, 0)) && (!second || pass(*it, 1));
        it = alive ? std::next(it) : connections_.erase(it);
      }
      if (polled[0].revents != 0) accept_one();
    }
  }

  void accept_one() {
    os::FileDescriptor inner(::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC));
    if (!inner.valid()) return;
    try {
      const std::size_t budget =
          std::uniform_int_distribution<std::size_t>(1, 2 * cut_after_bytes_ + 1)(random_);
      connections_.push_back({{std::move(inner), connect_to(target_)}, budget});
    } catch (const Error&) {
      // The target is away: so is this connection.
    }
  }

  // Bytes from one end to the other; false when the connection ends here.
  bool pass(Connection& connection, int from) {
    char bytes[65536];
    const ssize_t got = ::recv(connection.ends[from].get(), bytes, sizeof bytes, 0);
    if (got <= 0) return false;
    for (ssize_t done = 0; done < got;) {
      const ssize_t sent = ::send(connection.ends[1 - from].get(), bytes + done,
                                  static_cast<std::size_t>(got - done), MSG_NOSIGNAL);
      if (sent <= 0) return false;
      done += sent;
    }
    if (cut_after_bytes_ == 0 || calm_) return true;
    const auto passed = static_cast<std::size_t>(got);
    if (connection.budget <= passed) {
      ++cuts_;
      return false;
    }
    connection.budget -= passed;
    return true;
  }

  std::uint16_t target_;
  std::size_t cut_after_bytes_;
  std::mt19937_64 random_;
  os::FileDescriptor listener_;
  std::uint16_t port_ = 0;
  std::list<Connection> connections_;
  std::atomic<int> cuts_ = 0;
  std::atomic<bool> stop_ = false;
  std::atomic<bool> calm_ = false;
  std::thread thread_;
};

}  // namespace ptrain::net
