// The relay that ptrain-relay is compared with: a ROUTER socket that passes whole messages on,
// with CURVE on both hops. A process of its own, so that its CPU time is told from that of
// the two peers, whose messages of 1 MiB go through it one way.

#include <chrono>
#include <csignal>
#include <string>
#include <thread>

#include <CLI/CLI.hpp>
#include <fmt/format.h>
#include <nlohmann/json.hpp>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>
#include <zmq.hpp>

#include "libcommon/net/keys.h"

namespace {

using ptrain::net::KeyPair;

constexpr std::size_t kMessageBytes = 1 << 20;
constexpr int kQueuedMessages = 64;

zmq::const_buffer key_of(const auto& bytes) { return zmq::const_buffer(bytes.data(), 32); }

void configure(zmq::socket_t& socket) {
  socket.set(zmq::sockopt::linger, 0);
  socket.set(zmq::sockopt::sndhwm, kQueuedMessages);
  socket.set(zmq::sockopt::rcvhwm, kQueuedMessages);
}

// [from] [to] [bytes] comes in, [to] [bytes] goes out.
[[noreturn]] void be_relay(const KeyPair& key, int port_pipe) {
  zmq::context_t context;
  zmq::socket_t router(context, zmq::socket_type::router);
  configure(router);
  router.set(zmq::sockopt::router_mandatory, true);
  router.set(zmq::sockopt::curve_server, true);
  router.set(zmq::sockopt::curve_secretkey, key_of(key.secret_key()));
  router.bind("tcp://127.0.0.1:*");
  const std::string endpoint = router.get(zmq::sockopt::last_endpoint);
  if (::write(port_pipe, endpoint.data(), endpoint.size()) < 0) ::_exit(1);
  ::close(port_pipe);
  while (true) {
    zmq::message_t from;
    zmq::message_t to;
    zmq::message_t bytes;
    static_cast<void>(router.recv(from));
    static_cast<void>(router.recv(to));
    static_cast<void>(router.recv(bytes));
    try {
      router.send(to, zmq::send_flags::sndmore);
      router.send(bytes, zmq::send_flags::none);
    } catch (const zmq::error_t&) {
      // Not there yet: asked for again.
    }
  }
}

zmq::socket_t peer(zmq::context_t& context, const std::string& name, const KeyPair& own,
                   const KeyPair& relay, const std::string& endpoint) {
  zmq::socket_t socket(context, zmq::socket_type::dealer);
  configure(socket);
  socket.set(zmq::sockopt::routing_id, name);
  socket.set(zmq::sockopt::curve_serverkey, key_of(relay.public_key()));
  socket.set(zmq::sockopt::curve_publickey, key_of(own.public_key()));
  socket.set(zmq::sockopt::curve_secretkey, key_of(own.secret_key()));
  socket.connect(endpoint);
  return socket;
}

void send_to(zmq::socket_t& socket, const std::string& name, zmq::message_t bytes) {
  socket.send(zmq::buffer(name), zmq::send_flags::sndmore);
  socket.send(bytes, zmq::send_flags::none);
}

double cpu_s_of(pid_t process) {
  ::kill(process, SIGKILL);
  rusage used{};
  ::wait4(process, nullptr, 0, &used);
  return static_cast<double>(used.ru_utime.tv_sec + used.ru_stime.tv_sec) +
         1e-6 * static_cast<double>(used.ru_utime.tv_usec + used.ru_stime.tv_usec);
}

// Seconds that so many messages took, first to last.
double exchange(const KeyPair& relay, const std::string& endpoint, int messages) {
  const KeyPair own = KeyPair::generate();
  zmq::context_t context(2);
  zmq::socket_t sender = peer(context, "sender", own, relay, endpoint);
  zmq::socket_t receiver = peer(context, "receiver", own, relay, endpoint);
  std::thread sending([&] {
    zmq::message_t go;
    static_cast<void>(sender.recv(go));
    for (int i = 0; i < messages; ++i) {
      send_to(sender, "receiver", zmq::message_t(kMessageBytes));
    }
  });
  // Asked for until the relay knows both.
  zmq::message_t bytes;
  receiver.set(zmq::sockopt::rcvtimeo, 100);
  do {
    send_to(receiver, "sender", zmq::message_t(1));
  } while (!receiver.recv(bytes));
  const auto begin = std::chrono::steady_clock::now();
  receiver.set(zmq::sockopt::rcvtimeo, -1);
  for (int i = 1; i < messages; ++i) static_cast<void>(receiver.recv(bytes));
  const auto end = std::chrono::steady_clock::now();
  sending.join();
  return std::chrono::duration<double>(end - begin).count();
}

}  // namespace

int main(int argc, char** argv) {
  int messages = 1024;
  CLI::App app("A ROUTER-to-ROUTER relay with CURVE on both hops, for tests/bench/relay.sh");
  app.add_option("--mebibytes", messages, "Messages of 1 MiB each")->check(CLI::Range(2, 1 << 20));
  CLI11_PARSE(app, argc, argv);
  const KeyPair key = KeyPair::generate();
  int ends[2];
  if (::pipe(ends) != 0) return 1;
  const pid_t relay = ::fork();
  if (relay < 0) return 1;
  if (relay == 0) be_relay(key, ends[1]);
  ::close(ends[1]);
  std::string endpoint(256, '\0');
  const ssize_t count = ::read(ends[0], endpoint.data(), endpoint.size());
  if (count <= 0) return 1;
  endpoint.resize(static_cast<std::size_t>(count));
  const double duration_s = exchange(key, endpoint.c_str(), messages);
  const double bytes = static_cast<double>(messages) * kMessageBytes;
  const nlohmann::ordered_json line{{"bytes", bytes},
                                    {"bits_per_s", bytes * 8 / duration_s},
                                    {"cpu_s_per_gb", cpu_s_of(relay) / (bytes / 1e9)}};
  fmt::print("{}\n", line.dump());
  return 0;
}
