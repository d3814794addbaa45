// What a session costs: messages through two meshes against plain libzmq sockets,
// over loopback, in the same run, plain and with CURVE. Prints ratios; absolute
// figures are of one noisy machine.
//
//   bench_session [MEGABYTES]      payload a measurement, 1024 unless told

#include <cstdio>
#include <cstdlib>
#include <optional>
#include <string>
#include <thread>

#include <fmt/format.h>
#include <sys/resource.h>
#include <zmq.hpp>

#include "libcommon/net/mesh.h"

namespace {

using namespace ptrain;
using namespace ptrain::net;
using namespace std::chrono_literals;

constexpr std::size_t kSmallBytes = 100;
constexpr int kRoundTrips = 3000;
constexpr int kRepetitions = 3;  // the best counts: noise only ever slows down

struct Keys {
  KeyPair first = KeyPair::generate();
  KeyPair second = KeyPair::generate();
};

double elapsed_s(TimePoint begin) { return seconds(SteadyClock().now() - begin); }

wire::Buffer payload_of(std::size_t bytes) {
  return wire::Buffer::copy_of(std::vector<std::byte>(bytes, std::byte{1}));
}

wire::Message message_of(const wire::Buffer& payload, std::uint32_t source,
                         wire::MessageKind kind) {
  return {.name = {.epoch = 0,
                   .step = Step(1),
                   .microbatch = MicrobatchIndex(0),
                   .kind = kind,
                   .source = StageIndex(source)},
          .tensor = {},
          .payload = payload};
}

// Two connected stages.
struct MeshPair {
  SteadyClock clock;
  StderrLog log{"bench_session"};
  std::unique_ptr<Mesh> stage0;
  std::unique_ptr<Mesh> stage1;

  explicit MeshPair(const Keys* keys) {
    const std::string suffix = keys == nullptr ? "" : "#" + to_hex(keys->second.public_key());
    MeshOptions options;
    options.listen = parse_endpoint("tcp://127.0.0.1:0");
    options.introduction = {
        .run = "bench", .job_hash = "0", .stage_count = 2, .data_fingerprint = ""};
    options.peers = {{StageIndex(1), parse_endpoint("tcp://127.0.0.1:1" + suffix)}};
    if (keys != nullptr) options.key = keys->first;
    stage0 = std::make_unique<Mesh>(options, log, clock);
    options.self = StageIndex(1);
    options.peers = {{StageIndex(0), stage0->listening()}};
    if (keys != nullptr) options.key = keys->second;
    stage1 = std::make_unique<Mesh>(options, log, clock);
    stage0->await_peers();
    stage1->await_peers();
  }
};

double mesh_bytes_per_s(MeshPair& pair, std::size_t bytes, std::size_t total) {
  const std::size_t count = total / bytes;
  const wire::Buffer payload = payload_of(bytes);
  const TimePoint begin = pair.clock.now();
  std::thread sender([&] {
    for (std::size_t i = 0; i < count; ++i) {
      pair.stage1->send(StageIndex(0), message_of(payload, 1, wire::MessageKind::gradient));
    }
  });
  for (std::size_t i = 0; i < count; ++i) pair.stage0->receive(60s).value();
  const double took = elapsed_s(begin);
  sender.join();
  return static_cast<double>(count * bytes) / took;
}

double mesh_round_trip_s(MeshPair& pair, std::size_t bytes) {
  const wire::Buffer payload = payload_of(bytes);
  std::thread echo([&] {
    for (int i = 0; i < kRoundTrips; ++i) {
      auto message = pair.stage1->receive(60s).value();
      pair.stage1->send(StageIndex(0), std::move(message));
    }
  });
  const TimePoint begin = pair.clock.now();
  for (int i = 0; i < kRoundTrips; ++i) {
    pair.stage0->send(StageIndex(1), message_of(payload, 0, wire::MessageKind::activation));
    pair.stage0->receive(60s).value();
  }
  const double took = elapsed_s(begin);
  echo.join();
  return took / kRoundTrips;
}

void secure(zmq::socket_t& socket, const Keys* keys, bool server) {
  if (keys == nullptr) return;
  if (server) {
    socket.set(zmq::sockopt::curve_server, true);
    socket.set(zmq::sockopt::curve_secretkey,
               zmq::const_buffer(keys->first.secret_key().data(), 32));
    return;
  }
  socket.set(zmq::sockopt::curve_serverkey, zmq::const_buffer(keys->first.public_key().data(), 32));
  socket.set(zmq::sockopt::curve_publickey,
             zmq::const_buffer(keys->second.public_key().data(), 32));
  socket.set(zmq::sockopt::curve_secretkey,
             zmq::const_buffer(keys->second.secret_key().data(), 32));
}

double zmq_bytes_per_s(const Keys* keys, std::size_t bytes, std::size_t total) {
  const std::size_t count = total / bytes;
  zmq::context_t from_context;
  zmq::context_t to_context;
  zmq::socket_t pull(to_context, zmq::socket_type::pull);
  secure(pull, keys, true);
  pull.bind("tcp://127.0.0.1:*");
  const std::string address = pull.get(zmq::sockopt::last_endpoint);
  std::thread sender([&] {
    zmq::socket_t push(from_context, zmq::socket_type::push);
    secure(push, keys, false);
    push.connect(address);
    for (std::size_t i = 0; i < count + 1; ++i) {
      zmq::message_t message(bytes);
      push.send(message, zmq::send_flags::none);
    }
  });
  zmq::message_t message;
  [[maybe_unused]] auto first = pull.recv(message);  // the connection stands
  const TimePoint begin = SteadyClock().now();
  for (std::size_t i = 0; i < count; ++i) {
    [[maybe_unused]] auto got = pull.recv(message);
  }
  const double took = elapsed_s(begin);
  sender.join();
  return static_cast<double>(count * bytes) / took;
}

double zmq_round_trip_s(const Keys* keys, std::size_t bytes) {
  zmq::context_t from_context;
  zmq::context_t to_context;
  zmq::socket_t here(to_context, zmq::socket_type::dealer);
  secure(here, keys, true);
  here.bind("tcp://127.0.0.1:*");
  const std::string address = here.get(zmq::sockopt::last_endpoint);
  std::thread echo([&] {
    zmq::socket_t there(from_context, zmq::socket_type::dealer);
    secure(there, keys, false);
    there.connect(address);
    zmq::message_t message;
    for (int i = 0; i < kRoundTrips + 1; ++i) {
      [[maybe_unused]] auto got = there.recv(message);
      there.send(message, zmq::send_flags::none);
    }
  });
  zmq::message_t message;
  TimePoint begin;
  for (int i = 0; i < kRoundTrips + 1; ++i) {
    zmq::message_t ping(bytes);
    here.send(ping, zmq::send_flags::none);
    [[maybe_unused]] auto got = here.recv(message);
    if (i == 0) begin = SteadyClock().now();
  }
  const double took = elapsed_s(begin);
  echo.join();
  return took / kRoundTrips;
}

// Processor time of this process, both ends of the measurement together. Unlike elapsed time it
// hardly depends on what else the machine does.
double cpu_s() {
  rusage usage{};
  ::getrusage(RUSAGE_SELF, &usage);
  const auto in_s = [](const timeval& t) {
    return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_usec) * 1e-6;
  };
  return in_s(usage.ru_utime) + in_s(usage.ru_stime);
}

struct Cost {
  double value;  // what was measured
  double cpu_s;  // while it was
};

template <class Measure>
Cost best_of(Measure measure, bool larger_is_better) {
  std::optional<Cost> best;
  for (int i = 0; i < kRepetitions; ++i) {
    const double cpu_before = cpu_s();
    const double value = measure();
    const Cost cost{value, cpu_s() - cpu_before};
    const bool better = !best || (value > best->value) == larger_is_better;
    if (better) best = cost;
  }
  return *best;
}

void compare(const Keys* keys, std::size_t total) {
  const char* name = keys == nullptr ? "plain" : "curve";
  MeshPair pair(keys);
  for (const std::size_t bytes : {std::size_t{1} << 20, std::size_t{256} << 10}) {
    const Cost mesh = best_of([&] { return mesh_bytes_per_s(pair, bytes, total); }, true);
    const Cost zmq = best_of([&] { return zmq_bytes_per_s(keys, bytes, total); }, true);
    fmt::print("{} {:4d} KiB: session {:5.2f} GB/s, PUSH/PULL {:5.2f} GB/s, ratio {:.2f}; ", name,
               bytes >> 10, mesh.value / 1e9, zmq.value / 1e9, mesh.value / zmq.value);
    const double gigabytes = static_cast<double>(total) / 1e9;
    fmt::print("cpu {:.2f} and {:.2f} s/GB, ratio {:.2f}\n", mesh.cpu_s / gigabytes,
               zmq.cpu_s / gigabytes, mesh.cpu_s / zmq.cpu_s);
  }
  for (const std::size_t bytes : {kSmallBytes, std::size_t{256} << 10}) {
    const Cost mesh = best_of([&] { return mesh_round_trip_s(pair, bytes); }, false);
    const Cost zmq = best_of([&] { return zmq_round_trip_s(keys, bytes); }, false);
    fmt::print(
        "{} round trip {:6d} B: session {:6.1f} us, DEALER/DEALER {:6.1f} us, ratio {:.2f}; ", name,
        bytes, mesh.value * 1e6, zmq.value * 1e6, mesh.value / zmq.value);
    fmt::print("cpu {:.1f} and {:.1f} us, ratio {:.2f}\n", mesh.cpu_s / kRoundTrips * 1e6,
               zmq.cpu_s / kRoundTrips * 1e6, mesh.cpu_s / zmq.cpu_s);
  }
  pair.stage0->close(5s);
  pair.stage1->close(5s);
}

}  // namespace

int main(int argc, char** argv) {
  const std::size_t megabytes = argc > 1 ? std::strtoul(argv[1], nullptr, 10) : 1024;
  std::setvbuf(stdout, nullptr, _IOLBF, 0);  // each line as it is known, into a pipe as well
  const Keys keys;
  compare(nullptr, megabytes << 20);
  compare(&keys, megabytes << 20);
  return 0;
}
