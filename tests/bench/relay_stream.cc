// The relay's data port and clients of it, in the three places that tests/bench/relay.sh
// gives them: `relay` prints its port and a pair of tokens for each stream, and, once its
// standard input ends, what it cost; `send` and `receive` each take one side's tokens. Without
// a relay, `listen` prints its port and receives what `send` sends there without tokens.

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <numeric>
#include <string>
#include <thread>
#include <vector>

#include <CLI/CLI.hpp>
#include <fcntl.h>
#include <fmt/format.h>
#include <netdb.h>
#include <nlohmann/json.hpp>
#include <sys/socket.h>
#include <unistd.h>

#include "libcommon/base/error.h"
#include "tests/bench/cpu_time.h"
#include "tools/relay/carrier/carrier.h"
#include "tools/relay/carrier/listening_socket.h"

namespace {

using namespace ptrain;

constexpr std::size_t kPieceBytes = 256 * 1024;
using SteadyTime = std::chrono::steady_clock::time_point;

struct Options {
  std::string host = "127.0.0.1";
  std::uint16_t port = 0;
  std::vector<std::string> tokens;  // none: no relay
  int streams = 1;
  double duration_s = 5;
  std::vector<double> marks_s;  // after which the streams are compared, besides at the end
};

relay::Seat seat_of(std::uint8_t path, relay::Side side) {
  relay::Seat seat;
  seat.side = side;
  seat.pairing.path = path;
  seat.pairing.low.peer_key.fill(1);
  seat.pairing.high.peer_key.fill(2);
  return seat;
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
    low.push_back(desk.issue(seat_of(path, relay::Side::low), "here", clock.now()).value());
    high.push_back(desk.issue(seat_of(path, relay::Side::high), "here", clock.now()).value());
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

os::FileDescriptor connected(const Options& options) {
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
  return socket;
}

os::FileDescriptor through_relay(const Options& options, const std::string& token) {
  os::FileDescriptor socket = connected(options);
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

void send_stream(const Options& options, const os::FileDescriptor& socket) {
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
  std::vector<double> bytes_at;  // the marks
};

// When the first byte of any stream came.
class CommonBegin {
 public:
  SteadyTime at() {
    auto none = SteadyTime::duration::zero();
    const auto now = std::chrono::steady_clock::now().time_since_epoch();
    return SteadyTime(begin_.compare_exchange_strong(none, now) ? now : none);
  }

 private:
  std::atomic<SteadyTime::duration> begin_{SteadyTime::duration::zero()};
};

Received receive_stream(const Options& options, const os::FileDescriptor& socket,
                        CommonBegin& begin) {
  std::string piece(kPieceBytes, '\0');
  Received received;
  while (true) {
    const ssize_t count = ::recv(socket.get(), piece.data(), piece.size(), 0);
    if (count <= 0) break;
    received.duration_s = seconds_since(begin.at());
    while (received.bytes_at.size() < options.marks_s.size() &&
           received.duration_s >= options.marks_s[received.bytes_at.size()]) {
      received.bytes_at.push_back(received.bytes);
    }
    received.bytes += static_cast<double>(count);
  }
  received.bytes_at.resize(options.marks_s.size(), received.bytes);
  return received;
}

template <class Body>
void on_streams(std::size_t count, Body body) {
  std::vector<std::thread> threads;
  for (std::size_t i = 0; i < count; ++i) threads.emplace_back([&body, i] { body(i); });
  for (std::thread& thread : threads) thread.join();
}

std::size_t streams_of(const Options& options) {
  return options.tokens.empty() ? static_cast<std::size_t>(options.streams) : options.tokens.size();
}

// All begin when the last one is connected.
void send(const Options& options) {
  std::vector<os::FileDescriptor> sockets(streams_of(options));
  on_streams(sockets.size(), [&](std::size_t i) {
    sockets[i] =
        options.tokens.empty() ? connected(options) : through_relay(options, options.tokens[i]);
  });
  on_streams(sockets.size(), [&](std::size_t i) { send_stream(options, sockets[i]); });
}

// Jain's index of fairness: 1 when all have the same, 1/n when one has all.
double jain_index(const std::vector<double>& all) {
  double sum = 0;
  double squares = 0;
  for (const double one : all) {
    sum += one;
    squares += one * one;
  }
  return squares == 0 ? 0 : sum * sum / (static_cast<double>(all.size()) * squares);
}

void print_received(const Options& options, const std::vector<Received>& all) {
  double duration_s = 0;
  std::vector<double> bytes;
  for (const Received& one : all) {
    bytes.push_back(one.bytes);
    duration_s = std::max(duration_s, one.duration_s);
  }
  nlohmann::ordered_json marks = nlohmann::ordered_json::array();
  for (std::size_t mark = 0; mark < options.marks_s.size(); ++mark) {
    std::vector<double> until_then;
    for (const Received& one : all) until_then.push_back(one.bytes_at[mark]);
    marks.push_back({{"after_s", options.marks_s[mark]}, {"jain_index", jain_index(until_then)}});
  }
  const double total = std::accumulate(bytes.begin(), bytes.end(), 0.0);
  print({{"streams", all.size()},
         {"bytes", total},
         {"bits_per_s", duration_s == 0 ? 0 : total * 8 / duration_s},
         {"jain_index", jain_index(bytes)},
         {"marks", marks}});
}

void receive(const Options& options) {
  std::vector<Received> all(options.tokens.size());
  CommonBegin begin;
  on_streams(all.size(), [&](std::size_t i) {
    all[i] = receive_stream(options, through_relay(options, options.tokens[i]), begin);
  });
  print_received(options, all);
}

void listen(const Options& options) {
  const os::FileDescriptor listening = relay::listening_socket(options.host, 0, SOCK_STREAM);
  ::fcntl(listening.get(), F_SETFL, 0);  // waits for who is late
  print({{"port", relay::port_of(listening)}});
  std::vector<Received> all(static_cast<std::size_t>(options.streams));
  CommonBegin begin;
  on_streams(all.size(), [&](std::size_t i) {
    const os::FileDescriptor socket(::accept(listening.get(), nullptr, nullptr));
    if (!socket.valid()) throw io_error("accept", errno);
    all[i] = receive_stream(options, socket, begin);
  });
  print_received(options, all);
}

}  // namespace

int main(int argc, char** argv) {
  Options options;
  CLI::App app("The relay's data port, for tests/bench/relay.sh");
  app.require_subcommand(1);
  CLI::App* relay_role = app.add_subcommand("relay", "Joins streams until standard input ends");
  CLI::App* send_role = app.add_subcommand("send", "Sends on every stream");
  CLI::App* receive_role = app.add_subcommand("receive", "Receives on every stream");
  CLI::App* listen_role = app.add_subcommand("listen", "Receives without a relay");
  for (CLI::App* role : {relay_role, send_role, receive_role, listen_role}) {
    role->add_option("--host", options.host, "The relay's address, or the listener's");
  }
  for (CLI::App* role : {relay_role, send_role, listen_role}) {
    role->add_option("--streams", options.streams)->check(CLI::Range(1, 256));
  }
  for (CLI::App* role : {receive_role, listen_role}) {
    role->add_option("--marks", options.marks_s, "Compare the streams after these seconds as well")
        ->delimiter(',');
  }
  send_role->add_option("--seconds", options.duration_s);
  for (CLI::App* role : {send_role, receive_role}) {
    role->add_option("--port", options.port)->required();
    role->add_option("--tokens", options.tokens, "One for each stream")->delimiter(',');
  }
  CLI11_PARSE(app, argc, argv);
  try {
    if (*relay_role) be_relay(options);
    if (*send_role) send(options);
    if (*receive_role) receive(options);
    if (*listen_role) listen(options);
  } catch (const std::exception& error) {
    fmt::print(stderr, "bench_relay_stream: {}\n", error.what());
    return 1;
  }
  return 0;
}
