// One of the two ends of a session that tests/bench/long_link.sh measures: stage 1 sends 1 MiB
// messages as fast as they go, or one at a time with pauses between them (tests/bench/burst.sh);
// stage 0 prints what arrived in so many seconds, or how long each took. They meet through the
// relays of a ticket, over a direct or a relayed path and no other.

#include <chrono>
#include <string>
#include <vector>

#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include "libcommon/base/clock.h"
#include "libcommon/base/error.h"
#include "libcommon/base/log.h"
#include "libcommon/cli/json_line.h"
#include "libcommon/cli/program.h"
#include "libcommon/net/mesh.h"
#include "libcommon/wire/frame.h"

namespace ptrain {
namespace {

using std::chrono::milliseconds;

constexpr std::size_t kMessageBytes = 1 << 20;
constexpr std::uint64_t kQueuedAtMost = 32 << 20;  // more than any link here holds
constexpr Duration kPatience = std::chrono::seconds(120);

struct Options {
  std::uint32_t stage = 0;
  std::string ticket_file;
  std::string key_file;
  std::string path = "direct";
  std::string listen;
  std::string announce;
  int connections = 1;
  double duration_s = 10;
  int every_ms = 0;  // 0: without a pause
};

// Of the machine's clock, which both ends read.
double wall_seconds() { return seconds(std::chrono::system_clock::now().time_since_epoch()); }

// When it was sent, to the microsecond.
wire::Message stamped(wire::Message message) {
  message.name.epoch = static_cast<std::uint64_t>(wall_seconds() * 1e6);
  return message;
}

wire::Message message_of(wire::MessageKind kind, const wire::Buffer& payload, StageIndex source) {
  return {.name = {.epoch = 0,
                   .step = Step(1),
                   .microbatch = MicrobatchIndex(0),
                   .kind = kind,
                   .source = source},
          .tensor = {},
          .payload = payload};
}

net::MeshOptions mesh_options_of(const Options& options) {
  net::MeshOptions mesh_options;
  mesh_options.self = StageIndex(options.stage);
  if (!options.listen.empty()) mesh_options.listen = net::parse_endpoint(options.listen);
  mesh_options.meeting = net::Meeting{.ticket = net::load_ticket(options.ticket_file),
                                      .relayed = options.path == "relayed",
                                      .direct = options.path == "direct"};
  if (!options.announce.empty()) {
    mesh_options.meeting->announced = {net::parse_endpoint(options.announce)};
  }
  mesh_options.peers = {{.stage = StageIndex(1 - options.stage)}};
  mesh_options.introduction = {
      .run = "long link", .job_hash = "none", .stage_count = 2, .data_fingerprint = ""};
  mesh_options.key = net::load_or_create_key(options.key_file);
  mesh_options.connections = static_cast<std::uint8_t>(options.connections);
  mesh_options.reconnect_timeout = kPatience;
  mesh_options.silence_timeout = kPatience;
  return mesh_options;
}

// Until the other side has what it wants, and goes.
void send_until_departed(net::Mesh& mesh, StageIndex self, StageIndex other) {
  const wire::Buffer nothing;
  const wire::Buffer payload =
      wire::Buffer::copy_of(std::vector<std::byte>(kMessageBytes, std::byte{1}));
  mesh.send(other, message_of(wire::MessageKind::step_report, nothing, self));
  while (!mesh.departed(other)) {
    if (mesh.traffic(other).queued.value() < kQueuedAtMost) {
      mesh.send(other, message_of(wire::MessageKind::gradient, payload, self));
    } else {
      mesh.receive(milliseconds(5));
    }
  }
}

void send_in_bursts(net::Mesh& mesh, const Options& options, StageIndex self, StageIndex other) {
  const wire::Buffer payload =
      wire::Buffer::copy_of(std::vector<std::byte>(kMessageBytes, std::byte{1}));
  TimePoint next = std::chrono::steady_clock::now();
  while (!mesh.departed(other)) {
    mesh.send(other, stamped(message_of(wire::MessageKind::gradient, payload, self)));
    next += milliseconds(options.every_ms);
    while (!mesh.departed(other)) {
      const TimePoint now = std::chrono::steady_clock::now();
      if (now >= next) break;
      mesh.receive(std::min<Duration>(next - now, milliseconds(20)));
    }
  }
}

// Each message was sent in one piece, and is measured until it is whole here.
void receive_bursts(net::Mesh& mesh, const Options& options, StageIndex other, const Clock& clock) {
  std::vector<double> took_s;
  const TimePoint end = clock.now() + std::chrono::duration_cast<Duration>(
                                          std::chrono::duration<double>(options.duration_s));
  while (clock.now() < end) {
    const auto message = mesh.receive(kPatience);
    if (!message) throw Error(ErrorKind::unavailable, "the sender stopped sending");
    took_s.push_back(wall_seconds() - static_cast<double>(message->name.epoch) / 1e6);
  }
  const net::Traffic traffic = mesh.traffic(other);
  cli::print_json_line(
      {{"took_s", took_s},
       {"path", traffic.route ? std::string(net::name_of(traffic.route->kind)) : "none"},
       {"reconnects", traffic.reconnects}});
}

// Measured from the arrival of the first, small message, which took as long as a byte takes, to
// that of the first message after the time is over: no part of a message is left out.
void receive_and_report(net::Mesh& mesh, const Options& options, StageIndex other,
                        const Clock& clock) {
  if (!mesh.receive(kPatience)) throw Error(ErrorKind::unavailable, "the sender sends nothing");
  const TimePoint begin = clock.now();
  std::uint64_t bytes = 0;
  double took_s = 0;
  while (took_s < options.duration_s) {
    const auto message = mesh.receive(kPatience);
    if (!message) throw Error(ErrorKind::unavailable, "the sender stopped sending");
    bytes += message->payload.bytes().size();
    took_s = seconds(clock.now() - begin);
  }
  const net::Traffic traffic = mesh.traffic(other);
  cli::print_json_line(
      {{"bits_per_s", static_cast<double>(bytes) * 8 / took_s},
       {"seconds", took_s},
       {"connections", options.connections},
       {"path", traffic.route ? std::string(net::name_of(traffic.route->kind)) : "none"},
       {"reconnects", traffic.reconnects}});
}

int run(const Options& options) {
  const SteadyClock clock;
  StderrLog log(fmt::format("stage {}", options.stage));
  const StageIndex self(options.stage);
  const StageIndex other(1 - options.stage);
  net::Mesh mesh(mesh_options_of(options), log, clock);
  mesh.await_peers();
  if (options.every_ms > 0 && options.stage == 1) {
    send_in_bursts(mesh, options, self, other);
  } else if (options.every_ms > 0) {
    receive_bursts(mesh, options, other, clock);
  } else if (options.stage == 1) {
    send_until_departed(mesh, self, other);
  } else {
    receive_and_report(mesh, options, other, clock);
  }
  mesh.close(std::chrono::seconds(1));  // what is still queued does not matter
  return 0;
}

}  // namespace
}  // namespace ptrain

int main(int argc, char** argv) {
  CLI::App app("One end of a session over a long link.", "bench_long_link_session");
  ptrain::Options options;
  app.add_option("--stage", options.stage)->check(CLI::Range(0, 1))->required();
  app.add_option("--ticket", options.ticket_file)->required();
  app.add_option("--key", options.key_file)->required();
  app.add_option("--path", options.path)->check(CLI::IsMember({"direct", "relayed"}));
  app.add_option("--listen", options.listen, "Where a direct path ends, on this host");
  app.add_option("--announce", options.announce, "The same, as others see it");
  app.add_option("--connections", options.connections, "Of each path")
      ->check(CLI::Range(1, int{ptrain::wire::kMaxConnections}));
  app.add_option("--seconds", options.duration_s);
  app.add_option("--every-ms", options.every_ms, "A message each so often")
      ->check(CLI::Range(0, 60000));
  return ptrain::cli::run_program(app, argc, argv, [&] { return ptrain::run(options); });
}
