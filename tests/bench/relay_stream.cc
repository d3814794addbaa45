// The relay's data port and clients of it, in the three places that tests/bench/relay.sh
// gives them: `relay` prints its port and a pair of tokens for each stream, and, once its
// standard input ends, what it cost; `send` and `receive` each take one side's tokens.

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <string>
#include <thread>
#include <vector>

#include <CLI/CLI.hpp>
#include <fmt/format.h>
#include <netdb.h>
#include <nlohmann/json.hpp>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "libcommon/base/error.h"
#include "tools/relay/carrier/carrier.h"

namespace {

using namespace ptrain;

constexpr std::size_t kPieceBytes = 256 * 1024;
using SteadyTime = std::chrono::steady_clock::time_point;

struct Options {
  std::string host = "127.0.0.1";
  std::uint16_t port = 0;
  std::vector<std::string> tokens;
  int streams = 1;
  double duration_s = 5;
};

relay::Seat seat_of(std::uint8_t path, relay::Side side) {
  relay::Seat seat;
  seat.side = side;
  seat.pairing.path = path;
  seat.pairing.low.peer_key.fill(1);
  seat.pairing.high.peer_key.fill(2);
  return seat;
}

double cpu_s() {
  rusage used{};
  ::getrusage(RUSAGE_SELF, &used);
  const auto s = [](const timeval& t) {
    return static_cast<double>(t.tv_sec) + 1e-6 * static_cast<double>(t.tv_usec);
  };
  return s(used.ru_utime) + s(used.ru_stime);
}

void print(const nlohmann::ordered_json& line) {
  fmt::print("{}\n", line.dump());
  std::fflush(stdout);
}

void be_relay(const Options& options) {
  SystemRandom random;
  SteadyClock clock;
  StderrLog log("bench_relay_stream");
  relay::TokenDesk desk({}, random);
  relay::Carrier carrier({.host = options.host}, desk, log, clock);
  nlohmann::ordered_json low = nlohmann::ordered_json::array();
  nlohmann::ordered_json high = nlohmann::ordered_json::array();
  for (int i = 0; i < options.streams; ++i) {
    const auto path = static_cast<std::uint8_t>(i);
    low.push_back(desk.issue(seat_of(path, relay::Side::low), clock.now()).value());
    high.push_back(desk.issue(seat_of(path, relay::Side::high), clock.now()).value());
  }
  const double before_s = cpu_s();
  print({{"port", carrier.port()}, {"low", low}, {"high", high}});
  char byte = 0;
  while (::read(STDIN_FILENO, &byte, 1) > 0) {
  }
  const auto bytes = carrier.totals().bytes;
  const double used_s = cpu_s() - before_s;
  print({{"cpu_s", used_s},
         {"bytes", bytes},
         {"cpu_s_per_gb", bytes == 0 ? 0 : used_s / (static_cast<double>(bytes) / 1e9)}});
}

void send_all(int socket, const std::string& bytes) {
  if (::send(socket, bytes.data(), bytes.size(), MSG_NOSIGNAL) !=
      static_cast<ssize_t>(bytes.size())) {
    throw io_error("send to the relay", errno);
  }
}

os::FileDescriptor through_relay(const Options& options, const std::string& token) {
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* found = nullptr;
  if (::getaddrinfo(options.host.c_str(), fmt::format("{}", options.port).c_str(), &hints,
                    &found) != 0) {
    throw Error(ErrorKind::usage, "no such host: " + options.host);
  }
  os::FileDescriptor socket(::socket(found->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0));
  const int failed = ::connect(socket.get(), found->ai_addr, found->ai_addrlen);
  ::freeaddrinfo(found);
  if (failed != 0) throw io_error("connect to the relay", errno);
  send_all(socket.get(), std::string("\x05\x01\x00\x05\x01\x00\x03", 7) +
                             static_cast<char>(token.size()) + token + std::string("\0\1", 2));
  char answer[12];  // to the greeting, and to the request
  if (::recv(socket.get(), answer, sizeof answer, MSG_WAITALL) != sizeof answer || answer[3] != 0) {
    throw Error(ErrorKind::unavailable, "the relay refused");
  }
  return socket;
}

double seconds_since(SteadyTime begin) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
}

void send_stream(const Options& options, const std::string& token) {
  const os::FileDescriptor socket = through_relay(options, token);
  const std::string piece(kPieceBytes, 'x');
  const SteadyTime begin = std::chrono::steady_clock::now();
  while (seconds_since(begin) < options.duration_s &&
         ::send(socket.get(), piece.data(), piece.size(), MSG_NOSIGNAL) > 0) {
  }
  ::shutdown(socket.get(), SHUT_WR);
  char byte = 0;
  while (::recv(socket.get(), &byte, 1, 0) > 0) {
  }
}

struct Received {
  double bytes = 0;
  double duration_s = 0;
};

Received receive_stream(const Options& options, const std::string& token) {
  const os::FileDescriptor socket = through_relay(options, token);
  std::string piece(kPieceBytes, '\0');
  Received received;
  SteadyTime begin;
  while (true) {
    const ssize_t count = ::recv(socket.get(), piece.data(), piece.size(), 0);
    if (count <= 0) return received;
    if (received.bytes == 0) begin = std::chrono::steady_clock::now();
    received.bytes += static_cast<double>(count);
    received.duration_s = seconds_since(begin);
  }
}

template <class Body>
void on_every_token(const Options& options, Body body) {
  std::vector<std::thread> threads;
  for (std::size_t i = 0; i < options.tokens.size(); ++i) {
    threads.emplace_back([&options, &body, i] { body(i, options.tokens[i]); });
  }
  for (std::thread& thread : threads) thread.join();
}

// Jain's index of fairness: 1 when all have the same, 1/n when one has all.
double jain_index(const std::vector<Received>& all) {
  double sum = 0;
  double squares = 0;
  for (const Received& one : all) {
    sum += one.bytes;
    squares += one.bytes * one.bytes;
  }
  return squares == 0 ? 0 : sum * sum / (static_cast<double>(all.size()) * squares);
}

void receive(const Options& options) {
  std::vector<Received> all(options.tokens.size());
  on_every_token(options, [&](std::size_t i, const std::string& token) {
    all[i] = receive_stream(options, token);
  });
  double bytes = 0;
  double duration_s = 0;
  for (const Received& one : all) {
    bytes += one.bytes;
    duration_s = std::max(duration_s, one.duration_s);
  }
  print({{"streams", all.size()},
         {"bytes", bytes},
         {"bits_per_s", duration_s == 0 ? 0 : bytes * 8 / duration_s},
         {"jain_index", jain_index(all)}});
}

}  // namespace

int main(int argc, char** argv) {
  Options options;
  CLI::App app("The relay's data port, for tests/bench/relay.sh");
  app.require_subcommand(1);
  CLI::App* relay_role = app.add_subcommand("relay", "Joins streams until standard input ends");
  CLI::App* send_role = app.add_subcommand("send", "Sends on every stream");
  CLI::App* receive_role = app.add_subcommand("receive", "Receives on every stream");
  for (CLI::App* role : {relay_role, send_role, receive_role}) {
    role->add_option("--host", options.host, "The relay's address");
  }
  relay_role->add_option("--streams", options.streams)->check(CLI::Range(1, 256));
  send_role->add_option("--seconds", options.duration_s);
  for (CLI::App* role : {send_role, receive_role}) {
    role->add_option("--port", options.port)->required();
    role->add_option("--tokens", options.tokens)->delimiter(',')->required();
  }
  CLI11_PARSE(app, argc, argv);
  try {
    if (*relay_role) be_relay(options);
    if (*send_role) {
      on_every_token(options, [&](std::size_t, const auto& token) { send_stream(options, token); });
    }
    if (*receive_role) receive(options);
  } catch (const std::exception& error) {
    fmt::print(stderr, "bench_relay_stream: {}\n", error.what());
    return 1;
  }
  return 0;
}
