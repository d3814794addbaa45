// One of two peers that send each other numbered messages through the relays of a ticket, and
// count what arrives: that nothing is lost, doubled or out of order, and when nothing came for
// long. Run by nothing_lost_scenario.sh, which meanwhile kills relays and cuts links.

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <string>
#include <thread>

#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include "libcommon/base/clock.h"
#include "libcommon/base/log.h"
#include "libcommon/cli/json_line.h"
#include "libcommon/cli/program.h"
#include "libcommon/net/mesh.h"

namespace ptrain {
namespace {

using std::chrono::milliseconds;

constexpr std::uint64_t kQueuedAtMost = 4 << 20;  // ahead of the other side
constexpr std::size_t kLargestBytes = 16 << 10;
// Longer ones are listed.
constexpr Duration kNotedSilence = milliseconds(100);
constexpr Duration kPunchedAtLast = std::chrono::seconds(20);

struct Options {
  std::uint32_t stage = 0;
  std::string ticket_file;
  std::string key_file;
  std::string listen;
  std::string announce;
  std::uint64_t count = 100'000;  // each way
  std::uint64_t flips = 0;        // how often this side changes between direct and relayed paths
  double pause_us = 0;            // between messages
  bool direct = false;            // no relayed paths
  bool punch = false;             // direct paths through NATs, too; waited for
};

// What the other side has sent of one urgency.
struct Tally {
  std::uint64_t expected = 0;  // the next number
  std::uint64_t doubled = 0;
  std::uint64_t missed = 0;
  std::uint64_t damaged = 0;
};

// Every eighth is a control message; the numbers of an urgency have no gaps.
wire::MessageKind kind_of(std::uint64_t number) {
  return number % 8 == 0 ? wire::MessageKind::step_report : wire::MessageKind::activation;
}
std::size_t bytes_of(std::uint64_t number) { return 1 + number * 7919 % kLargestBytes; }
std::byte content_of(std::uint64_t number) { return static_cast<std::byte>(number * 31 & 0xff); }

wire::Message message_of(std::uint64_t number, std::uint64_t number_in_urgency, StageIndex source) {
  wire::MutableBuffer payload(bytes_of(number));
  std::memset(payload.data(), std::to_integer<int>(content_of(number_in_urgency)), payload.size());
  return {.name = {.epoch = number,
                   .step = Step(number_in_urgency),
                   .microbatch = MicrobatchIndex(0),
                   .kind = kind_of(number),
                   .source = source},
          .tensor = {},
          .payload = std::move(payload).freeze()};
}

// Of the host's clock, which the scenario reads as well.
double wall_seconds() { return seconds(std::chrono::system_clock::now().time_since_epoch()); }

// When messages arrive: between which moments none did for long.
class Silences {
 public:
  void end(double now) {
    longest_ = std::max(longest_, now - last_);
    if (now - last_ >= seconds(kNotedSilence)) noted_.push_back({last_, now});
    last_ = now;
  }
  double longest() const { return longest_; }
  const nlohmann::ordered_json& noted() const { return noted_; }

 private:
  double last_ = wall_seconds();
  double longest_ = 0;
  nlohmann::ordered_json noted_ = nlohmann::ordered_json::array();
};

void count(const wire::Message& message, Tally& tally) {
  const std::uint64_t number = message.name.step.value();
  if (number < tally.expected) ++tally.doubled;
  if (number > tally.expected) tally.missed += number - tally.expected;
  tally.expected = std::max(tally.expected, number + 1);
  const auto bytes = message.payload.bytes();
  const bool whole =
      bytes.size() == bytes_of(message.name.epoch) &&
      std::ranges::all_of(bytes, [&](std::byte b) { return b == content_of(number); });
  if (!whole) ++tally.damaged;
}

// Where there is none in time, what follows shows it.
void await_punched_path(const net::Mesh& mesh, StageIndex other, const Clock& clock) {
  const TimePoint deadline = clock.now() + kPunchedAtLast;
  while (clock.now() < deadline) {
    const auto route = mesh.traffic(other).route;
    if (route && route->kind == net::RouteKind::punched) return;
    std::this_thread::sleep_for(milliseconds(20));
  }
}

int run(const Options& options) {
  const SteadyClock clock;
  StderrLog log(fmt::format("peer {}", options.stage));
  const StageIndex self(options.stage);
  const StageIndex other(1 - options.stage);
  net::MeshOptions mesh_options;
  mesh_options.self = self;
  if (!options.listen.empty()) mesh_options.listen = net::parse_endpoint(options.listen);
  mesh_options.meeting = net::Meeting{.ticket = net::load_ticket(options.ticket_file)};
  mesh_options.meeting->punch = options.punch;
  mesh_options.meeting->relayed = !options.direct;
  if (!options.announce.empty()) {
    mesh_options.meeting->announced = {net::parse_endpoint(options.announce)};
  }
  mesh_options.peers = {{.stage = other}};
  mesh_options.introduction = {
      .run = "numbered", .job_hash = "none", .stage_count = 2, .data_fingerprint = ""};
  mesh_options.key = net::load_or_create_key(options.key_file);
  mesh_options.reconnect_timeout = std::chrono::seconds(120);
  mesh_options.silence_timeout = std::chrono::seconds(120);
  net::Mesh mesh(std::move(mesh_options), log, clock);
  mesh.await_peers();
  if (options.punch) await_punched_path(mesh, other, clock);
  fmt::print("met\n");
  std::fflush(stdout);

  std::array<Tally, wire::kUrgencies> tallies;
  std::array<std::uint64_t, wire::kUrgencies> sent_of_urgency{};
  std::uint64_t sent = 0;
  std::uint64_t received = 0;
  std::uint64_t flipped = 0;
  Silences silences;
  const TimePoint begin = clock.now();
  TimePoint next_send = begin;
  while (sent < options.count || received < options.count) {
    const auto now = clock.now();
    if (sent < options.count && now >= next_send &&
        mesh.traffic(other).queued.value() < kQueuedAtMost) {
      const auto urgency = static_cast<std::size_t>(wire::urgency_of(kind_of(sent)));
      mesh.send(other, message_of(sent, sent_of_urgency[urgency]++, self));
      ++sent;
      next_send = std::max(next_send, now - milliseconds(10)) +
                  std::chrono::nanoseconds(static_cast<std::int64_t>(options.pause_us * 1000));
      if (options.flips > 0 && sent * options.flips / options.count > flipped) {
        ++flipped;
        mesh.allow(flipped % 2 == 0
                       ? net::RouteKinds::only(net::RouteKind::direct).with(net::RouteKind::punched)
                       : net::RouteKinds::only(net::RouteKind::relayed));
      }
    }
    const bool may_send = sent < options.count;
    while (const auto message = mesh.receive(may_send ? Duration(0) : Duration(milliseconds(20)))) {
      count(*message, tallies[static_cast<std::size_t>(wire::urgency_of(message->name.kind))]);
      ++received;
      silences.end(wall_seconds());
      if (received == options.count) break;
    }
  }
  mesh.allow(net::RouteKinds::all());
  const net::Traffic traffic = mesh.traffic(other);
  const bool drained = mesh.close(std::chrono::seconds(20));
  cli::print_json_line({{"sent", sent},
                        {"received", received},
                        {"lost", tallies[0].missed + tallies[1].missed},
                        {"doubled", tallies[0].doubled + tallies[1].doubled},
                        {"damaged", tallies[0].damaged + tallies[1].damaged},
                        {"drained", drained},
                        {"flips", flipped},
                        {"path", traffic.path},
                        {"path_changes", traffic.path_changes},
                        {"reconnects", traffic.reconnects},
                        {"seconds", seconds(clock.now() - begin)},
                        {"longest_silence_s", silences.longest()},
                        {"silences", silences.noted()}});
  return 0;
}

}  // namespace
}  // namespace ptrain

int main(int argc, char** argv) {
  CLI::App app("One of two peers that send each other numbered messages.", "numbered_messages");
  ptrain::Options options;
  app.add_option("--stage", options.stage)->check(CLI::Range(0, 1))->required();
  app.add_option("--ticket", options.ticket_file)->required();
  app.add_option("--key", options.key_file)->required();
  app.add_option("--listen", options.listen);
  app.add_option("--announce", options.announce);
  app.add_option("--count", options.count);
  app.add_option("--flips", options.flips);
  app.add_option("--pause-us", options.pause_us);
  app.add_flag("--direct", options.direct);
  app.add_flag("--punch", options.punch);
  return ptrain::cli::run_program(app, argc, argv, [&] { return ptrain::run(options); });
}
