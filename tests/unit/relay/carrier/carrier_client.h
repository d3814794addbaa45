// A carrier on loopback, and clients of it: real sockets, with bounded waits.

#pragma once

#include <cerrno>
#include <chrono>
#include <memory>
#include <optional>
#include <random>
#include <string>
#include <thread>
#include <utility>

#include <arpa/inet.h>
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>

#include "libcommon/base/error.h"
#include "libcommon/os/file_descriptor.h"
#include "tests/unit/relay/carrier/seats.h"
#include "tools/relay/carrier/carrier.h"

namespace ptrain::relay {

// A loaded machine may be this slow; what hangs fails after it.
inline constexpr std::chrono::seconds kPatience{30};

// Asks again and again whether it holds; for what another thread is about to do.
template <class Condition>
bool comes_true(Condition condition) {
  const auto end = std::chrono::steady_clock::now() + kPatience;
  while (!condition()) {
    if (std::chrono::steady_clock::now() > end) return false;
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
  }
  return true;
}

inline const std::string kGreeting("\x05\x01\x00", 3);
inline const std::string kMethod("\x05\x00", 2);

inline std::string connect_request(const std::string& host) {
  return std::string("\x05\x01\x00\x03", 4) + static_cast<char>(host.size()) + host +
         std::string("\x00\x01", 2);
}

class Client {
 public:
  // From an address of 127.0.0.0/8, so that a test has as many sources as it wants.
  Client(std::uint16_t port, const char* from) : Client(from) { connect(port); }
  // Not connected yet.
  explicit Client(const char* from) : socket_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    ::inet_pton(AF_INET, from, &address.sin_addr);
    const timeval patience{.tv_sec = kPatience.count(), .tv_usec = 0};
    ::setsockopt(socket_.get(), SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    ::setsockopt(socket_.get(), SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
    if (::bind(socket_.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) {
      throw io_error("bind a test's socket", errno);
    }
  }
  // Who is turned away may hear of it here already, or by is_ended().
  void connect(std::uint16_t port) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    address.sin_port = htons(port);
    if (::connect(socket_.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) != 0 &&
        errno != ECONNRESET) {
      throw io_error("connect to the carrier", errno);
    }
  }

  // Closing is then a reset, which also leaves the port free for the next one.
  void reset_on_close() {
    const linger at_once{.l_onoff = 1, .l_linger = 0};
    ::setsockopt(socket_.get(), SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
  }
  int fd() const { return socket_.get(); }
  void close() { socket_.reset(); }
  void end() { ::shutdown(socket_.get(), SHUT_WR); }

  // False when the other end is gone.
  bool send(const std::string& bytes) {
    std::size_t sent = 0;
    while (sent < bytes.size()) {
      const ssize_t count =
          ::send(socket_.get(), bytes.data() + sent, bytes.size() - sent, MSG_NOSIGNAL);
      if (count <= 0) return false;
      sent += static_cast<std::size_t>(count);
    }
    return true;
  }

  // So many bytes, or what came before the end.
  std::string receive(std::size_t bytes) {
    std::string received(bytes, '\0');
    std::size_t filled = 0;
    while (filled < bytes) {
      const ssize_t count = ::recv(socket_.get(), received.data() + filled, bytes - filled, 0);
      if (count <= 0) break;
      filled += static_cast<std::size_t>(count);
    }
    received.resize(filled);
    return received;
  }

  // Whether the connection ends, or is reset, with nothing more to read.
  bool is_ended() {
    char byte = 0;
    const ssize_t count = ::recv(socket_.get(), &byte, 1, 0);
    return count == 0 || (count < 0 && errno != EAGAIN);
  }
  // Whether there is something to read by now, were it the end.
  bool has_something() const {
    pollfd polled{socket_.get(), POLLIN, 0};
    return ::poll(&polled, 1, 0) == 1;
  }

  // The whole handshake but the last answer, which comes with the partner.
  void ask(const std::string& host) {
    send(kGreeting);
    receive(kMethod.size());
    send(connect_request(host));
  }
  // The code of the answer to a request; nothing when the connection ended.
  std::optional<SocksReply> answer() {
    const std::string bytes = receive(socks_answer(SocksReply::failure).size());
    if (bytes.size() < 2) return std::nullopt;
    return static_cast<SocksReply>(bytes[1]);
  }

 private:
  os::FileDescriptor socket_;
};

inline std::string random_bytes(std::size_t count, std::uint64_t seed) {
  std::mt19937_64 random(seed);
  std::string bytes(count, '\0');
  for (char& byte : bytes) byte = static_cast<char>(random());
  return bytes;
}

class CarrierTest : public ::testing::Test {
 protected:
  void start(CarrierOptions options = {}) {
    options.host = "127.0.0.1";
    carrier_ = std::make_unique<Carrier>(options, desk_, log_, clock_);
  }

  std::string token(const Seat& seat) { return desk_.issue(seat, "here", clock_.now()).value(); }
  Client client(const char* from = "127.0.0.1") { return Client(carrier_->port(), from); }

  Client arrived(const Seat& seat, const char* from = "127.0.0.1") {
    Client result = client(from);
    result.ask(token(seat) + ".invalid");
    return result;
  }
  // Both sides of a pairing of two members, joined.
  std::pair<Client, Client> joined(std::uint8_t one, std::uint8_t other, std::uint8_t path = 0,
                                   const char* from = "127.0.0.1") {
    Client first = arrived(seat_of(one, other, path), from);
    Client second = arrived(seat_of(other, one, path), from);
    EXPECT_EQ(first.answer(), SocksReply::succeeded);
    EXPECT_EQ(second.answer(), SocksReply::succeeded);
    return {std::move(first), std::move(second)};
  }
  static void expect_carries(Client& one, Client& other, std::size_t bytes = 100'000) {
    for (const auto& way : {std::pair{&one, &other}, std::pair{&other, &one}}) {
      const std::string sent = random_bytes(bytes, bytes);
      std::thread sender([&way, &sent] { way.first->send(sent); });
      EXPECT_TRUE(way.second->receive(bytes) == sent);
      sender.join();
    }
  }
  // What every attack is followed by: two others, elsewhere, are joined and exchange bytes.
  void expect_others_undisturbed() {
    auto [one, other] = joined(201, 202, 0, "127.9.9.9");
    expect_carries(one, other);
  }

  SystemRandom random_;
  SteadyClock clock_;
  NullLog log_;
  TokenDesk desk_{{}, random_};
  std::unique_ptr<Carrier> carrier_;
};

}  // namespace ptrain::relay
