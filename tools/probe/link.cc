// ptrain-probe link: measures the link to a host that serves probes.

#include <chrono>
#include <memory>
#include <optional>
#include <string>

#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include "libcommon/base/error.h"
#include "libcommon/base/log.h"
#include "libcommon/cli/early_end.h"
#include "libcommon/cli/exit_code.h"
#include "libcommon/cli/json_line.h"
#include "libcommon/cli/number_range.h"
#include "libcommon/cli/output.h"
#include "libcommon/cli/progress.h"
#include "libcommon/os/stop_signal.h"
#include "libcommon/probe/link_test.h"
#include "libcommon/probe/probing.h"
#include "libcommon/wire/frame.h"
#include "tools/probe/commands.h"
#include "tools/probe/link_report.h"
#include "tools/probe/options.h"

namespace ptrain::probe_tool {
namespace {

struct LinkOptions {
  CommonOptions common;
  std::string peer;
  bool reverse = false;
  bool coarse = false;
  double timeout_s = 30;
  std::optional<double> interval_s;
  std::uint32_t connections = 1;
};

probe::SoughtPeer sought_of(const LinkOptions& options) {
  auto meeting = meeting_of(options.common);
  const auto key = net::parse_public_key(options.peer);
  if (!meeting) {
    throw Error(
        ErrorKind::usage,
        fmt::format("{} is no endpoint, and there is no --ticket to find it by", options.peer),
        "an endpoint is what ptrain-probe serve prints there");
  }
  if (!key && !probe::is_name(options.peer)) {
    throw Error(ErrorKind::usage,
                fmt::format("{} is neither an endpoint, nor a key, nor a name", options.peer));
  }
  return {.meeting = std::move(*meeting), .name = key ? name_of(*key) : options.peer, .key = key};
}

probe::LinkTestOptions test_options(const LinkOptions& options) {
  probe::LinkTestOptions test;
  if (options.peer.find("://") == std::string::npos) {
    test.sought = sought_of(options);
    test.peer = fmt::format("server of probes called {}", test.sought->name);
  } else {
    test.endpoint = net::parse_endpoint(options.peer);
    test.peer = zmq_address(*test.endpoint);
  }
  const bool keyed = test.sought || test.endpoint->key || !options.common.key_file.empty();
  if (keyed) test.key = net::host_key(options.common.key_file);
  test.connections = static_cast<std::uint8_t>(options.connections);
  test.limits = limits_of(options.common);
  test.timeout =
      std::chrono::duration_cast<Duration>(std::chrono::duration<double>(options.timeout_s));
  test.to_peer = !options.reverse;
  test.coarse = options.coarse;
  return test;
}

void announce_cost(const probe::LinkTestOptions& test, Log& log) {
  const int ways = test.to_peer ? 2 : 1;
  const double megabytes = static_cast<double>(test.limits.bytes.value()) / 1e6;
  log.info(fmt::format("at most {:.1f} MB and {:.0f} s each way: {:.1f} MB in all", megabytes,
                       seconds(test.limits.time), ways * megabytes));
}

void print(const LinkReport& report, const LinkOptions& options) {
  if (options.common.json) {
    cli::print_json_line(to_json(report));
  } else if (options.interval_s) {
    cli::print("{}\n", to_line(report));
  } else {
    cli::print("{}", to_table(report));
  }
  cli::flush_output();
}

int measure_link(const LinkOptions& options) {
  const os::StopSignal stop("ptrain-probe");
  const SteadyClock clock;
  StderrLog log("ptrain-probe");
  cli::ProgressLine line(clock);
  probe::LinkTestOptions test = test_options(options);
  test.stop = [&] { return stop.requested(); };
  test.progress = [&](const std::string& what) { line.update("link: " + what); };
  announce_cost(test, log);
  probe::LinkTest link_test(std::move(test), log, clock);
  while (true) {
    const auto began = clock.now();
    const auto figures = link_test.measure();
    line.clear();
    if (!figures) throw cli::EarlyEnd{.exit_code = 128 + stop.signal_number()};
    print(report_of(options.peer, *figures), options);
    if (!options.interval_s) return cli::kDone;
    const std::chrono::duration<double> interval(*options.interval_s);
    const TimePoint next = began + std::chrono::duration_cast<Duration>(interval);
    if (!link_test.idle_until(next)) throw cli::EarlyEnd{.exit_code = 128 + stop.signal_number()};
  }
}

}  // namespace

void add_link(CLI::App& app, Command& command) {
  CLI::App* sub = app.add_subcommand("link", "Measure the link to a host that serves");
  sub->footer(
      "PEER is the endpoint that ptrain-probe serve printed there, or, with --ticket, its name or\n"
      "its key.\n\n"
      "Example:\n"
      "  ptrain-probe link tcp://one.example.net:7300#KEY --max-bytes 5MB");
  auto o = std::make_shared<LinkOptions>();
  sub->add_option("PEER", o->peer, "Whom to measure the link to")->required();
  sub->add_flag("--reverse", o->reverse, "Only the way from the peer to here");
  sub->add_flag("--coarse", o->coarse, "End each way when its rate is known at a glance");
  sub->add_option("--interval", o->interval_s, "Go on, and begin again after so many seconds")
      ->check(cli::number_range(1.0, 86400.0));
  sub->add_option("--connections", o->connections, "Connections for bulk, as a stage's")
      ->check(cli::whole_range(std::uint32_t{1}, std::uint32_t{wire::kMaxConnections}))
      ->capture_default_str();
  sub->add_option("--timeout", o->timeout_s, "Seconds for the peer to appear, and to have time")
      ->check(cli::number_range(0.1, 86400.0))
      ->capture_default_str();
  add_common_options(*sub, o->common);
  sub->callback([&command, o] { command = [o] { return measure_link(*o); }; });
}

}  // namespace ptrain::probe_tool
