// What many peers of one process cost it: a node that serves, and its guests in a child process.

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <span>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <CLI/CLI.hpp>
#include <fmt/format.h>
#include <nlohmann/json.hpp>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "libcommon/base/clock.h"
#include "libcommon/base/log.h"
#include "libcommon/base/units.h"
#include "libcommon/metrics/process_memory.h"
#include "libcommon/os/descriptor_limit.h"
#include "tests/bench/cpu_time.h"
#include "tests/unit/net/serving.h"

namespace ptrain::net {
namespace {

using namespace std::chrono_literals;

constexpr Duration kPatience = 120s;
constexpr std::size_t kMessageBytes = 1u << 20;

struct Options {
  std::uint32_t idle_guests = 64;  // of two connections each
  std::uint32_t many_guests = 300;
  std::uint32_t senders = 64;
  double seconds = 10;
  std::uint64_t receive_mebibytes = 256;
};

Introduction introduction() {
  return {.run = "crowd", .job_hash = "", .stage_count = 2, .data_fingerprint = ""};
}

wire::Message message(std::uint64_t step) {
  wire::MutableBuffer payload(kMessageBytes);
  std::ranges::fill(std::span(payload.data(), kMessageBytes), std::byte{1});
  return {.name = {.epoch = 0,
                   .step = Step(step),
                   .microbatch = MicrobatchIndex(0),
                   .kind = wire::MessageKind::activation,
                   .source = kClientPlace},
          .tensor = {},
          .payload = std::move(payload).freeze()};
}

// Guests in a process of their own: what they cost is not the server's.
class Guests {
 public:
  enum class Do { wait, send };
  // Before this process has threads of a node.
  Guests(std::uint32_t count, Do what) {
    std::array<int, 2> ends{};
    if (::pipe(ends.data()) != 0) throw io_error("pipe", errno);
    pid_ = ::fork();
    if (pid_ == 0) {
      ::prctl(PR_SET_PDEATHSIG, SIGKILL);
      ::close(ends[1]);
      std::string endpoint;
      for (char byte = 0; ::read(ends[0], &byte, 1) == 1 && byte != '\n';) endpoint += byte;
      visit(parse_endpoint(endpoint), count, what);
    }
    ::close(ends[0]);
    tell_ = ends[1];
  }
  ~Guests() {
    ::kill(pid_, SIGKILL);
    ::waitpid(pid_, nullptr, 0);
    ::close(tell_);
  }
  Guests(const Guests&) = delete;
  Guests& operator=(const Guests&) = delete;
  void come_to(const Endpoint& server) const {
    const std::string line = to_string(server) + "\n";
    if (::write(tell_, line.data(), line.size()) < 0) throw io_error("write", errno);
  }

 private:
  [[noreturn]] static void visit(const Endpoint& server, std::uint32_t count, Do what) {
    const SteadyClock clock;
    NullLog log;
    NodeOptions options = seeking_options(introduction());
    options.queue_limit = ByteCount(8 * kMessageBytes);
    SeekingNode node(options, log, clock);
    std::vector<WorkerId> each;
    for (std::uint32_t i = 0; i < count; ++i) {
      each.push_back({.key = std::nullopt, .name = fmt::format("guest-{}", i)});
      node.seek(each.back(), server, kServerPlace, each.back().name);
    }
    for (std::uint64_t step = 0;; ++step) {
      if (what == Do::send) {
        for (const WorkerId& id : each) {
          node.send(id, message(step));
        }
      }
      std::this_thread::sleep_for(10ms);
    }
  }

  pid_t pid_ = -1;
  int tell_ = -1;
};

double rss_mebibytes() { return static_cast<double>(metrics::rss_bytes()) / (1u << 20); }

NodeOptions server_options(const Options& options) {
  NodeOptions server = serving_options(introduction());
  server.credit_window = NodeOptions{}.credit_window;
  server.receive_limit = ByteCount(options.receive_mebibytes << 20);
  return server;
}

GuestRules rules() {
  GuestRules rules;
  rules.max_guests = kMostGuests;
  return rules;
}

// Until so many have come.
void await(ServingNode& server, std::uint32_t guests) {
  const TimePoint end = SteadyClock().now() + kPatience;
  std::uint32_t came = 0;
  while (came < guests) {
    const auto event = server.next(1s);
    if (event && std::holds_alternative<Up>(*event)) ++came;
    if (SteadyClock().now() > end) {
      throw Error(ErrorKind::unavailable, fmt::format("{} of {} guests came", came, guests));
    }
  }
}

struct Company {
  Company(std::uint32_t count, Guests::Do what, const Options& options)
      : guests(count, what), server(server_options(options), rules(), log, clock) {
    guests.come_to(server.listening());
    await(server, count);
  }
  NullLog log;
  SteadyClock clock;
  Guests guests;
  ServingNode server;
};

nlohmann::ordered_json idle(std::uint32_t guests, const Options& options) {
  const double before = rss_mebibytes();
  const Company company(guests, Guests::Do::wait, options);
  std::this_thread::sleep_for(2s);
  const double cpu_before = cpu_s();
  std::this_thread::sleep_for(std::chrono::duration<double>(options.seconds));
  return {{"guests", guests},
          {"connections", 2 * guests},
          {"core_percent", 100 * (cpu_s() - cpu_before) / options.seconds},
          {"rss_mib", rss_mebibytes() - before}};
}

// Nobody takes what they send.
nlohmann::ordered_json flooded(const Options& options) {
  const double before = rss_mebibytes();
  const Company company(options.senders, Guests::Do::send, options);
  double most = 0;
  const TimePoint end = company.clock.now() + std::chrono::duration_cast<Duration>(
                                                  std::chrono::duration<double>(options.seconds));
  while (company.clock.now() < end) {
    std::this_thread::sleep_for(100ms);
    most = std::max(most, rss_mebibytes() - before);
  }
  return {{"guests", options.senders},
          {"receive_limit_mib", options.receive_mebibytes},
          {"rss_mib", most}};
}

void say(const std::string& name, const nlohmann::ordered_json& figures) {
  fmt::print("{}\n", nlohmann::ordered_json{{name, figures}}.dump());
}

}  // namespace
}  // namespace ptrain::net

int main(int argc, char** argv) {
  using namespace ptrain::net;
  Options options;
  CLI::App app(
      "A node with many guests, each of two connections: what it spends while they say nothing\n"
      "(128 connections: less than 2 % of a core is wanted; then 600), and what it holds when "
      "many\n"
      "send as fast as they can and nobody takes it. One JSON object a line.");
  app.add_option("--seconds", options.seconds, "Of each measurement")->capture_default_str();
  app.add_option("--receive-mib", options.receive_mebibytes, "What the node may hold of all")
      ->capture_default_str();
  CLI11_PARSE(app, argc, argv);
  std::setvbuf(stdout, nullptr, _IOLBF, 0);
  ptrain::os::raise_descriptor_limit();
  say("idle", idle(options.idle_guests, options));
  say("many", idle(options.many_guests, options));
  say("flooded", flooded(options));
  return 0;
}
