// A client of a ZeroMQ socket with CURVE that libzmq would not be: it sends parts of messages that
// never end. ZMTP 3 and CurveZMQ by hand (rfc.zeromq.org/spec/23 and 26), with the boxes of
// libsodium, which comes with libzmq.

#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>

#include <dlfcn.h>
#include <poll.h>
#include <sys/socket.h>

#include "libcommon/net/endpoint.h"
#include "libcommon/os/file_descriptor.h"

namespace ptrain::relay {

class Boxes {
 public:
  using Key = std::array<std::uint8_t, 32>;
  struct Pair {
    Key open;
    Key secret;
  };

  Pair pair() const {
    Pair made;
    keypair_(made.open.data(), made.secret.data());
    return made;
  }
  // `nonce` has 24 bytes.
  std::string seal(std::string_view text, std::string_view nonce, const Key& to,
                   const Key& from) const {
    std::string box(text.size() + kTagBytes, '\0');
    seal_(bytes(box), bytes(text), text.size(), bytes(nonce), to.data(), from.data());
    return box;
  }
  std::string open(std::string_view box, std::string_view nonce, const Key& from,
                   const Key& to) const {
    std::string text(box.size() - kTagBytes, '\0');
    if (open_(bytes(text), bytes(box), box.size(), bytes(nonce), from.data(), to.data()) != 0) {
      throw std::runtime_error("a box that does not open");
    }
    return text;
  }

 private:
  using Make = int (*)(std::uint8_t*, std::uint8_t*);
  using Apply = int (*)(std::uint8_t*, const std::uint8_t*, unsigned long long, const std::uint8_t*,
                        const std::uint8_t*, const std::uint8_t*);
  static constexpr std::size_t kTagBytes = 16;

  static std::uint8_t* bytes(std::string& text) {
    return reinterpret_cast<std::uint8_t*>(text.data());
  }
  static const std::uint8_t* bytes(std::string_view text) {
    return reinterpret_cast<const std::uint8_t*>(text.data());
  }
  template <class Function>
  Function function(const char* name) const {
    if (library_ == nullptr) throw std::runtime_error("no libsodium.so.23");
    return reinterpret_cast<Function>(::dlsym(library_, name));
  }

  void* library_ = ::dlopen("libsodium.so.23", RTLD_NOW);
  Make keypair_ = function<Make>("crypto_box_keypair");
  Apply seal_ = function<Apply>("crypto_box_easy");
  Apply open_ = function<Apply>("crypto_box_open_easy");
};

class RawCurveClient {
 public:
  // Shakes hands over the connection, which is made already.
  RawCurveClient(os::FileDescriptor socket, const net::PublicKey& server)
      : socket_(std::move(socket)), server_(server) {
    send(greeting());
    receive(64);
    send_command(hello(boxes_, ours_, server_));
    const std::string welcome = receive_frame();
    const std::string opened =
        boxes_.open(welcome.substr(24), "WELCOME-" + welcome.substr(8, 16), server_, ours_.secret);
    std::copy_n(opened.begin(), theirs_.size(), theirs_.begin());
    const std::string vouch_nonce(16, 'v');
    const std::string vouch = boxes_.seal(text(ours_.open) + text(server_),
                                          "VOUCH---" + vouch_nonce, theirs_, identity_.secret);
    const std::string metadata =
        std::string("\13Socket-Type\0\0\0\6DEALER", 22) + std::string("\10Identity\0\0\0\0", 13);
    const std::string number = short_nonce(++nonce_);
    send_command("\10INITIATE" + opened.substr(32) + number +
                 boxes_.seal(text(identity_.open) + vouch_nonce + vouch + metadata,
                             "CurveZMQINITIATE" + number, theirs_, ours_.secret));
    receive_frame();  // READY
  }

  const net::PublicKey& key() const { return identity_.open; }

  // One part, after which another comes, or a whole message. False when the connection has ended.
  bool send_part(std::string_view part) { return send_message('\1', part); }
  bool send_whole(std::string_view part) { return send_message('\0', part); }

 private:
  bool send_message(char flags, std::string_view part) {
    const std::string number = short_nonce(++nonce_);
    const std::string box =
        boxes_.seal(flags + std::string(part), "CurveZMQMESSAGEC" + number, theirs_, ours_.secret);
    return try_send(framed(0, "\7MESSAGE" + number + box));
  }
  static std::string greeting() {
    std::string greeting(64, '\0');
    greeting[0] = '\xff';
    greeting.replace(9, 3, "\x7f\3\1");
    greeting.replace(12, 5, "CURVE");
    return greeting;
  }
  static std::string hello(const Boxes& boxes, const Boxes::Pair& ours, const Boxes::Key& server) {
    const std::string first = short_nonce(1);
    return std::string("\5HELLO\1\0", 8) + std::string(72, '\0') + text(ours.open) + first +
           boxes.seal(std::string(64, '\0'), "CurveZMQHELLO---" + first, server, ours.secret);
  }
  template <class Bytes>
  static std::string text(const Bytes& bytes) {
    return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
  }
  static std::string big_endian(std::uint64_t number) {
    std::string bytes(8, '\0');
    for (int i = 7; i >= 0; --i, number >>= 8)
      bytes[static_cast<std::size_t>(i)] = static_cast<char>(number);
    return bytes;
  }
  static std::string short_nonce(std::uint64_t number) { return big_endian(number); }
  // `flags`: 4 for a command.
  static std::string framed(int flags, const std::string& body) {
    if (body.size() < 256) {
      return std::string{static_cast<char>(flags), static_cast<char>(body.size())} + body;
    }
    return static_cast<char>(flags | 2) + big_endian(body.size()) + body;
  }

  bool try_send(const std::string& bytes) {
    return ::send(socket_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL) ==
           static_cast<ssize_t>(bytes.size());
  }
  void send(const std::string& bytes) {
    if (!try_send(bytes)) throw std::runtime_error("the connection has ended");
  }
  void send_command(const std::string& body) { send(framed(4, body)); }
  std::string receive(std::size_t size) {
    std::string bytes(size, '\0');
    for (std::size_t done = 0; done < size;) {
      pollfd waiting{.fd = socket_.get(), .events = POLLIN, .revents = 0};
      const ssize_t count = ::poll(&waiting, 1, 20000) == 1
                                ? ::recv(socket_.get(), bytes.data() + done, size - done, 0)
                                : 0;
      if (count <= 0) throw std::runtime_error("the connection has ended");
      done += static_cast<std::size_t>(count);
    }
    return bytes;
  }
  std::string receive_frame() {
    const std::string head = receive(2);
    return receive(static_cast<std::uint8_t>(head[1]));  // all that a server says is short
  }

  Boxes boxes_;
  Boxes::Pair ours_ = boxes_.pair();
  Boxes::Pair identity_ = boxes_.pair();
  os::FileDescriptor socket_;
  Boxes::Key server_;
  Boxes::Key theirs_{};
  std::uint64_t nonce_ = 1;  // that of hello()
};

}  // namespace ptrain::relay
