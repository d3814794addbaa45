// What a session costs: messages through two meshes against plain libzmq sockets, over
// loopback, in one process, each side with a context of its own and a thread that sends and one
// that receives; plain and with CURVE. The two take turns, round by round, and what counts is the
// median of the rounds' ratios: absolute figures are of one noisy machine. CPU seconds hardly
// depend on what else the machine does.

#include <algorithm>
#include <cstdio>
#include <string>
#include <thread>
#include <vector>

#include <CLI/CLI.hpp>
#include <fmt/format.h>
#include <nlohmann/json.hpp>
#include <zmq.hpp>

#include "libcommon/net/mesh.h"
#include "tests/bench/cpu_time.h"

namespace {

using namespace ptrain;
using namespace ptrain::net;
using namespace std::chrono_literals;

constexpr std::size_t kSmallBytes = 100;
constexpr int kRoundTrips = 1000;
// About as much as a session lets be under way, so that the peer does not pay for memory that
// nobody uses.
constexpr std::size_t kPeerQueueBytes = 32u << 20;

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
      message.name.source = StageIndex(1);
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

// The payload's memory is shared with libzmq, as a session's is.
double zmq_bytes_per_s(const Keys* keys, std::size_t bytes, std::size_t total) {
  const std::size_t count = total / bytes;
  const wire::Buffer payload = payload_of(bytes);
  const int queued = static_cast<int>(kPeerQueueBytes / bytes);
  zmq::context_t from_context;
  zmq::context_t to_context;
  zmq::socket_t pull(to_context, zmq::socket_type::pull);
  secure(pull, keys, true);
  pull.set(zmq::sockopt::rcvhwm, queued);
  pull.bind("tcp://127.0.0.1:*");
  const std::string address = pull.get(zmq::sockopt::last_endpoint);
  std::thread sender([&] {
    zmq::socket_t push(from_context, zmq::socket_type::push);
    secure(push, keys, false);
    push.set(zmq::sockopt::sndhwm, queued);
    push.connect(address);
    for (std::size_t i = 0; i < count + 1; ++i) {
      zmq::message_t message(const_cast<std::byte*>(payload.data()), bytes, [](void*, void*) {});
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

struct Cost {
  double value;  // what was measured
  double cpu_s;  // while it was, of both ends together
};

template <class Measure>
Cost cost_of(Measure measure) {
  const double cpu_before = cpu_s();
  const double value = measure();
  return {.value = value, .cpu_s = cpu_s() - cpu_before};
}

double median(std::vector<double> values) {
  std::ranges::sort(values);
  return values[values.size() / 2];
}

// What rounds of the two come to, taking turns in who begins. `per` is what a CPU second is
// spread over.
template <class Own, class Peer>
nlohmann::ordered_json compare(const std::string& name, int rounds, double per, Own own,
                               Peer peer) {
  std::vector<double> values, peer_values, ratios, cpu, peer_cpu, cpu_ratios;
  for (int round = 0; round < rounds; ++round) {
    Cost mine{}, theirs{};
    if (round % 2 == 0) mine = cost_of(own);
    theirs = cost_of(peer);
    if (round % 2 != 0) mine = cost_of(own);
    values.push_back(mine.value);
    peer_values.push_back(theirs.value);
    ratios.push_back(mine.value / theirs.value);
    cpu.push_back(mine.cpu_s / per);
    peer_cpu.push_back(theirs.cpu_s / per);
    cpu_ratios.push_back(mine.cpu_s / theirs.cpu_s);
  }
  nlohmann::ordered_json line{{"name", name},
                              {"session", median(values)},
                              {"libzmq", median(peer_values)},
                              {"ratio", median(ratios)},
                              {"session_cpu_s", median(cpu)},
                              {"libzmq_cpu_s", median(peer_cpu)},
                              {"cpu_ratio", median(cpu_ratios)}};
  fmt::print("{}\n", line.dump());
  return line;
}

struct Options {
  std::size_t mebibytes = 512;
  int rounds = 5;
  bool curve_only = false;
};

void measure(const Keys* keys, const Options& options, nlohmann::ordered_json& summary) {
  const std::string name = keys == nullptr ? "plain" : "curve";
  const std::size_t total = options.mebibytes << 20;
  MeshPair pair(keys);
  const auto note = [&](const std::string& what, const nlohmann::ordered_json& line) {
    summary[name + "_" + what + "_ratio"] = line["ratio"];
    summary[name + "_" + what + "_cpu_ratio"] = line["cpu_ratio"];
  };
  for (const std::size_t bytes : {std::size_t{1} << 20, std::size_t{256} << 10}) {
    const std::string size = fmt::format("{} KiB", bytes >> 10);
    note(fmt::format("{}k", bytes >> 10),
         compare(
             fmt::format("{} {}, bytes per s, CPU per GB", name, size), options.rounds,
             static_cast<double>(total) / 1e9, [&] { return mesh_bytes_per_s(pair, bytes, total); },
             [&] { return zmq_bytes_per_s(keys, bytes, total); }));
  }
  for (const std::size_t bytes : {kSmallBytes, std::size_t{256} << 10}) {
    note(fmt::format("round_trip_{}", bytes),
         compare(
             fmt::format("{} round trip of {} B, s, CPU of each", name, bytes), options.rounds,
             kRoundTrips, [&] { return mesh_round_trip_s(pair, bytes); },
             [&] { return zmq_round_trip_s(keys, bytes); }));
  }
  pair.stage0->close(5s);
  pair.stage1->close(5s);
}

}  // namespace

int main(int argc, char** argv) {
  Options options;
  CLI::App app(
      "Messages through a session against PUSH/PULL, and round trips against DEALER/DEALER.\n"
      "Prints a line for each, and a JSON object with the medians of the ratios: of bytes per s\n"
      "(at least 0.95 is wanted of curve_1024k_ratio), of round trips (below 1 is faster), and of\n"
      "CPU time (at most 1.1 is wanted of curve_1024k_cpu_ratio).");
  app.add_option("--mebibytes", options.mebibytes, "Payload of a round")
      ->check(CLI::Range(1, 65536))
      ->capture_default_str();
  app.add_option("--rounds", options.rounds, "Of each")
      ->check(CLI::Range(1, 1000))
      ->capture_default_str();
  app.add_flag("--curve-only", options.curve_only, "Leave out the sockets without encryption");
  CLI11_PARSE(app, argc, argv);
  std::setvbuf(stdout, nullptr, _IOLBF, 0);  // each line as it is known, into a pipe as well
  const Keys keys;
  nlohmann::ordered_json summary;
  if (!options.curve_only) measure(nullptr, options, summary);
  measure(&keys, options, summary);
  fmt::print("{}\n", summary.dump());
  return 0;
}
