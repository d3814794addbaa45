// What the relay's registry is compared with in tests/bench/relay_registry.sh: the same records
// in redis-server, a key for each with a lifetime as long as a lease, and as many connections.
// A look-up is one MGET of the records that a page of the relay holds. No encryption, no proof
// of identity, no watching: the floor, rather than an equal.

#include <array>
#include <cerrno>
#include <charconv>
#include <cstdio>
#include <string>
#include <string_view>
#include <vector>

#include <CLI/CLI.hpp>
#include <arpa/inet.h>
#include <fmt/format.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <nlohmann/json.hpp>
#include <sys/socket.h>
#include <unistd.h>

#include "libcommon/base/error.h"
#include "libcommon/os/descriptor_limit.h"
#include "libcommon/os/file_descriptor.h"
#include "tests/bench/paced.h"
#include "tests/bench/population.h"

namespace {

using namespace ptrain;
using bench::Peer;
using bench::Population;

constexpr int kLifetimeSeconds = 3600;

struct Options {
  std::uint16_t port = 0;
  std::size_t peers = 10000;
  std::size_t connected = 2000;
  std::size_t large_run = 1200;
  bench::Pace pace;
};

std::string command(const std::vector<std::string_view>& words) {
  std::string text = fmt::format("*{}\r\n", words.size());
  for (const std::string_view word : words) text += fmt::format("${}\r\n{}\r\n", word.size(), word);
  return text;
}

std::string_view value_of(const Peer& peer) {
  return {reinterpret_cast<const char*>(peer.record.record.data()), peer.record.record.size()};
}

class Connection {
 public:
  explicit Connection(std::uint16_t port) : socket_(::socket(AF_INET, SOCK_STREAM, 0)) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (::connect(socket_.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) {
      throw io_error("connect to redis", errno);
    }
    const int on = 1;
    ::setsockopt(socket_.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  }

  void send(const std::string& bytes) {
    if (::send(socket_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL) !=
        static_cast<ssize_t>(bytes.size())) {
      throw io_error("send to redis", errno);
    }
  }
  std::string line() {
    std::size_t end;
    while ((end = buffer_.find("\r\n", at_)) == std::string::npos) fill();
    std::string text = buffer_.substr(at_, end - at_);
    skip(end + 2);
    return text;
  }
  std::string bulk() {
    const std::string head = line();
    long size = -1;
    if (head.starts_with('$')) std::from_chars(head.data() + 1, head.data() + head.size(), size);
    if (size < 0) throw Error(ErrorKind::internal, "redis has no such record: " + head);
    const auto length = static_cast<std::size_t>(size);
    while (buffer_.size() - at_ < length + 2) fill();
    std::string value = buffer_.substr(at_, length);
    skip(at_ + length + 2);
    return value;
  }

 private:
  void fill() {
    std::array<char, 65536> piece;
    const ssize_t count = ::recv(socket_.get(), piece.data(), piece.size(), 0);
    if (count <= 0) throw io_error("receive from redis", errno);
    buffer_.append(piece.data(), static_cast<std::size_t>(count));
  }
  void skip(std::size_t to) {
    at_ = to;
    if (at_ < buffer_.size()) return;
    buffer_.clear();
    at_ = 0;
  }

  os::FileDescriptor socket_;
  std::string buffer_;
  std::size_t at_ = 0;
};

std::string key_of(const Population& population, const Peer& peer) {
  return fmt::format("{}:{}", peer.run, &peer - population.peers.data());
}

void store(Connection& connection, const Population& population) {
  for (const Peer& peer : population.peers) {
    connection.send(command({"SET", key_of(population, peer), value_of(peer), "EX",
                             fmt::format("{}", kLifetimeSeconds)}));
    if (connection.line() != "+OK") throw Error(ErrorKind::io, "redis did not keep a record");
  }
}

void look_up(Connection& connection, const Population& population, const bench::Run& run,
             std::size_t from) {
  const bench::Slice slice = population.page(run, from);
  std::vector<std::string> keys{"MGET"};
  for (std::size_t i = slice.begin; i < slice.end; ++i) {
    keys.push_back(key_of(population, *run.members[i]));
  }
  connection.send(command({keys.begin(), keys.end()}));
  connection.line();
  for (std::size_t i = slice.begin; i < slice.end; ++i) {
    if (connection.bulk() != value_of(*run.members[i])) {
      throw Error(ErrorKind::internal, "redis gave another record");
    }
  }
}

}  // namespace

int main(int argc, char** argv) {
  Options options;
  CLI::App app("Records of peers in redis-server, for tests/bench/relay_registry.sh");
  app.add_option("--port", options.port)->required();
  app.add_option("--peers", options.peers);
  app.add_option("--connected", options.connected);
  app.add_option("--large-run", options.large_run);
  app.add_option("--rate", options.pace.per_s, "Look-ups a second");
  app.add_option("--seconds", options.pace.duration_s, "Of look-ups");
  CLI11_PARSE(app, argc, argv);
  try {
    os::raise_descriptor_limit();
    const Population population(options.peers, options.large_run);
    std::vector<Connection> connections;
    for (std::size_t i = 0; i < options.connected; ++i) connections.emplace_back(options.port);
    store(connections.front(), population);
    fmt::print("{}\n", nlohmann::json{{"registered", options.peers}}.dump());
    std::fflush(stdout);
    char byte = 0;
    if (::read(STDIN_FILENO, &byte, 1) < 0) return 1;
    const auto sorted_ms = bench::latencies_ms(
        options.pace, population, options.connected,
        [&](std::size_t member, std::size_t from) {
          look_up(connections[member], population, population.run_of(population.peers[member]),
                  from);
        },
        [](std::size_t) {});
    fmt::print("{}\n", bench::summary_of(sorted_ms).dump());
    std::fflush(stdout);
    if (::read(STDIN_FILENO, &byte, 1) < 0) return 1;
  } catch (const std::exception& error) {
    fmt::print(stderr, "bench_relay_redis_peer: {}\n", error.what());
    return 1;
  }
  return 0;
}
