// What the programs of tests/net that attack a relay have in common: their arguments (the relay's
// word, then NAME=VALUE), and plain TCP connections to its ports from an address that one chooses.

#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <thread>

#include <arpa/inet.h>
#include <fmt/format.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <nlohmann/json.hpp>
#include <poll.h>
#include <sys/socket.h>

#include "libcommon/net/relay_word.h"
#include "libcommon/os/file_descriptor.h"
#include "tests/unit/relay/relay_client.h"

namespace ptrain::relay {

using Json = nlohmann::ordered_json;

struct Arguments {
  net::TicketRelay relay;
  std::map<std::string, std::string> values;

  std::string text(const std::string& name, const std::string& otherwise) const {
    const auto found = values.find(name);
    return found == values.end() ? otherwise : found->second;
  }
  int number(const std::string& name, int otherwise) const {
    return std::stoi(text(name, std::to_string(otherwise)));
  }
};

inline std::shared_ptr<zmq::context_t> large_context() {
  auto context = std::make_shared<zmq::context_t>();
  zmq_ctx_set(context->handle(), ZMQ_MAX_SOCKETS, 20000);
  return context;
}

inline TestRun run_of(int number) { return TestRun(static_cast<std::uint8_t>(number)); }

// Says what came of it, and stays for `hold` seconds.
inline void stay(const Arguments& arguments, const Json& result) {
  fmt::print("{}\n", result.dump());
  std::fflush(stdout);
  std::this_thread::sleep_for(std::chrono::seconds(arguments.number("hold", 0)));
}

// `source` may be empty: wherever this host comes from.
inline os::FileDescriptor connect_from(const std::string& source, const net::Endpoint& to) {
  os::FileDescriptor fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  if (!source.empty()) {
    ::inet_pton(AF_INET, source.c_str(), &address.sin_addr);
    static_cast<void>(
        ::bind(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address));
  }
  ::inet_pton(AF_INET, to.host.c_str(), &address.sin_addr);
  address.sin_port = htons(to.port);
  if (::connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
    return {};
  }
  const int on = 1;
  ::setsockopt(fd.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  return fd;
}

inline net::Endpoint data_of(const net::TicketRelay& relay) {
  net::Endpoint data = relay.control;
  data.port = relay.data_port;
  return data;
}

inline bool send_all(int fd, std::string_view text) {
  return ::send(fd, text.data(), text.size(), MSG_NOSIGNAL) == static_cast<ssize_t>(text.size());
}

inline bool receive_all(int fd, char* to, std::size_t size) {
  for (std::size_t done = 0; done < size;) {
    pollfd waiting{.fd = fd, .events = POLLIN, .revents = 0};
    if (::poll(&waiting, 1, 10000) != 1) return false;
    const ssize_t count = ::recv(fd, to + done, size - done, 0);
    if (count <= 0) return false;
    done += static_cast<std::size_t>(count);
  }
  return true;
}

inline std::string socks_request(const std::string& token) {
  return std::string("\5\1\0\5\1\0\3", 7) + static_cast<char>(token.size()) + token +
         std::string("\0\1", 2);
}

using Actions = std::map<std::string, int (*)(const Arguments&)>;

inline int run_action(const Actions& actions, int argc, char** argv) {
  if (argc < 3 || !actions.contains(argv[1])) return 2;
  try {
    Arguments arguments{.relay = net::parse_relay_word(argv[2]), .values = {}};
    for (int i = 3; i < argc; ++i) {
      const std::string word = argv[i];
      const std::size_t equals = word.find('=');
      arguments.values[word.substr(0, equals)] = word.substr(equals + 1);
    }
    return actions.at(argv[1])(arguments);
  } catch (const std::exception& error) {
    fmt::print("{}\n", Json{{"error", error.what()}}.dump());
    return 1;
  }
}

}  // namespace ptrain::relay
