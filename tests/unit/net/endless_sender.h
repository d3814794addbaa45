// A ZeroMQ socket without keys that libzmq would not be: it sends parts of a message that never
// ends. ZMTP 3 by hand (rfc.zeromq.org/spec/23).

#pragma once

#include <array>
#include <cerrno>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>

#include <poll.h>
#include <sys/socket.h>

#include "libcommon/base/clock.h"
#include "libcommon/os/file_descriptor.h"

namespace ptrain::net {

class EndlessSender {
 public:
  // Shakes hands over a connection that is made already.
  EndlessSender(os::FileDescriptor socket, std::string_view socket_type)
      : socket_(std::move(socket)) {
    std::string greeting(64, '\0');
    greeting[0] = '\xff';
    greeting.replace(9, 3, "\x7f\3\1");
    greeting.replace(12, 4, "NULL");
    send(greeting);
    receive(greeting.size());
    const std::string ready = std::string("\5READY\13Socket-Type\0\0\0", 21) +
                              static_cast<char>(socket_type.size()) + std::string(socket_type);
    send(std::string{'\4', static_cast<char>(ready.size())} + ready);
    receive(static_cast<std::uint8_t>(receive(2)[1]));
  }

  // A message of one part.
  void send_whole(std::string_view part) { send(framed(0, part)); }

  // Whether the other side hangs up before it was sent so much of a message, or soon after. It may
  // do so without taking what waits for it, so that nothing more can be sent.
  bool is_cut_off_within(std::size_t bytes) {
    const std::string part = framed(kMore, std::string(1000, '\0'));
    const SteadyClock clock;
    TimePoint patience = clock.now() + kPatience;
    for (std::size_t sent = 0; clock.now() < patience;) {
      const bool more = sent < bytes;
      pollfd waiting{.fd = socket_.get(), .events = POLLIN, .revents = 0};
      if (more) waiting.events |= POLLOUT;
      ::poll(&waiting, 1, 100);
      if ((waiting.revents & ~POLLOUT) != 0 && has_ended()) return true;
      if (!more || (waiting.revents & POLLOUT) == 0) continue;
      const std::string_view rest = std::string_view(part).substr(sent % part.size());
      const ssize_t count =
          ::send(socket_.get(), rest.data(), rest.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
      if (count < 0 && errno != EAGAIN) return true;
      if (count > 0) sent += static_cast<std::size_t>(count);
      patience = clock.now() + kPatience;
    }
    return false;
  }

 private:
  static constexpr auto kPatience = std::chrono::seconds(10);
  static constexpr char kMore = 1;
  static constexpr char kLong = 2;

  static std::string framed(char flags, std::string_view body) {
    std::string frame{static_cast<char>(flags | kLong)};
    for (int shift = 56; shift >= 0; shift -= 8)
      frame += static_cast<char>(body.size() >> static_cast<unsigned>(shift));
    return frame + std::string(body);
  }
  bool has_ended() {
    std::array<char, 4096> ignored{};
    const ssize_t count = ::recv(socket_.get(), ignored.data(), ignored.size(), MSG_DONTWAIT);
    return count == 0 || (count < 0 && errno != EAGAIN);
  }
  void send(std::string_view bytes) {
    if (::send(socket_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL) !=
        static_cast<ssize_t>(bytes.size()))
      throw std::runtime_error("the connection has ended");
  }
  std::string receive(std::size_t size) {
    std::string bytes(size, '\0');
    if (::recv(socket_.get(), bytes.data(), size, MSG_WAITALL) != static_cast<ssize_t>(size))
      throw std::runtime_error("the connection has ended");
    return bytes;
  }

  os::FileDescriptor socket_;
};

}  // namespace ptrain::net
