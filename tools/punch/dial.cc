// ptrain-punch dial: the best path to a member of a run that listens, and how it was found.

#include <chrono>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <variant>

#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include "libcommon/base/error.h"
#include "libcommon/base/log.h"
#include "libcommon/cli/early_end.h"
#include "libcommon/cli/exit_code.h"
#include "libcommon/cli/json_line.h"
#include "libcommon/cli/number_range.h"
#include "libcommon/cli/output.h"
#include "libcommon/net/keys.h"
#include "libcommon/os/stop_signal.h"
#include "libcommon/probe/sought_servers.h"
#include "tools/punch/commands.h"
#include "tools/punch/meeting_options.h"

namespace ptrain::punch {
namespace {

constexpr Duration kStopLook = std::chrono::milliseconds(50);
constexpr Duration kDialGoodbye = std::chrono::seconds(2);
constexpr int kRelayedOnly = 1;  // a negative answer

struct DialOptions {
  MeetingOptions meeting;
  std::string peer;
  double timeout_s = 15;
  bool explain = false;
};

// The latest of what the network thread says.
class LatestReport {
 public:
  void put(const net::PathReport& report) {
    const std::scoped_lock lock(mutex_);
    report_ = report;
  }
  net::PathReport get() const {
    const std::scoped_lock lock(mutex_);
    return report_;
  }

 private:
  mutable std::mutex mutex_;
  net::PathReport report_;
};

struct Reached {
  net::Traffic traffic;
  bool directly() const { return traffic.route && traffic.route->kind != net::RouteKind::relayed; }
};

std::unique_ptr<net::Company> sought(const DialOptions& options,
                                     const std::optional<net::PublicKey>& key) {
  if (!key && !is_name(options.peer)) {
    throw Error(ErrorKind::usage,
                fmt::format("{} is neither a key nor a name: 1 to {} small letters, digits and -",
                            options.peer, kMaxNameChars));
  }
  const std::string role = std::string(kListenerRoles) + (key ? name_of(*key) : options.peer);
  return std::make_unique<probe::SoughtServers>(
      std::map<std::string, std::optional<net::PublicKey>>{{role, key}});
}

// Until the peer is reached directly, or the time is over; then what there is, or nothing.
std::optional<Reached> reach(net::Node& node, const DialOptions& options, const Clock& clock,
                             const os::StopSignal& stop) {
  const TimePoint deadline = clock.now() + std::chrono::duration_cast<Duration>(
                                               std::chrono::duration<double>(options.timeout_s));
  std::optional<net::WorkerId> peer;
  Reached reached;
  while (clock.now() < deadline) {
    if (stop.requested()) throw cli::EarlyEnd{.exit_code = 128 + stop.signal_number()};
    if (auto event = node.next(kStopLook)) {
      if (const auto* up = std::get_if<net::Up>(&*event)) peer = up->peer;
      if (const auto* down = std::get_if<net::Down>(&*event)) {
        if (down->error) throw Error(*down->error);
        throw Error(ErrorKind::unavailable, options.peer + " has ended");
      }
    }
    if (!peer) continue;
    reached.traffic = node.traffic(*peer);
    if (reached.directly()) break;
  }
  if (!peer || !reached.traffic.route) return std::nullopt;
  return reached;
}

void explain(const net::PathReport& report, bool json) {
  if (json) {
    cli::print_json_line({{"kind", "nat"}, {"mapping", report.nat}});
    for (const net::PathRung& rung : report.rungs) cli::print_json_line(rung_line(rung));
    return;
  }
  cli::print("# our NAT's mapping: {}\n", report.nat);
  for (const net::PathRung& rung : report.rungs) cli::print("# {}\n", rung_text(rung));
}

void print_result(const Reached& reached, const std::string& key, bool json) {
  const net::Traffic& traffic = reached.traffic;
  // What others dial has the key that proves that it is the peer.
  const std::string endpoint =
      reached.directly() && !key.empty() ? traffic.path + "#" + key : traffic.path;
  if (json) {
    nlohmann::ordered_json line{{"kind", "path"},
                                {"route", std::string(net::name_of(traffic.route->kind))},
                                {"endpoint", endpoint}};
    if (traffic.round_trip) line["rtt_s"] = seconds(*traffic.round_trip);
    return cli::print_json_line(line);
  }
  if (reached.directly()) cli::print("{}\n", endpoint);
}

int dial(const DialOptions& options) {
  const os::StopSignal stop("ptrain-punch");
  const SteadyClock clock;
  StderrLog log("ptrain-punch");
  LatestReport report;
  const auto key = net::parse_public_key(options.peer);
  auto company = sought(options, key);
  net::Meeting meeting = meeting_of(options.meeting);
  meeting.observer = [&report](const net::PathReport& latest) { report.put(latest); };
  net::Node node({.introduction = introduction(),
                  .self = kDialerPlace,
                  .counterpart = kListenerPlace,
                  .key = net::host_key(options.meeting.key_file)},
                 std::move(company), log, clock);
  node.start();
  node.meet(meeting, std::string(kDialerRoles) + draw_name());
  const auto reached = reach(node, options, clock, stop);
  node.close(kDialGoodbye);
  if (options.explain) explain(report.get(), options.meeting.json);
  if (!reached) {
    throw Error(ErrorKind::unavailable,
                fmt::format("{} was not reached within {:.0f} s", options.peer, options.timeout_s),
                "look whether ptrain-punch listen runs there, with the same ticket");
  }
  print_result(*reached, report.get().key, options.meeting.json);
  if (reached->directly()) return cli::kDone;
  const std::string failures = net::failures_text(report.get().rungs);
  log.warning(fmt::format("{} is reached through a relay only, {}{}{}", options.peer,
                          reached->traffic.path, failures.empty() ? "" : ": ", failures));
  log.info(
      "a port that a router maps, on either side, would make a direct path (ptrain-punch map)");
  return kRelayedOnly;
}

}  // namespace

void add_dial(CLI::App& app, Command& command, const Words&) {
  CLI::App* sub = app.add_subcommand("dial", "Find the best path to a host that listens");
  sub->footer(
      "PEER is the name that ptrain-punch listen printed there, or its host's key.\n\n"
      "Example:\n"
      "  ptrain-punch dial nora --ticket alice.ticket --explain");
  auto o = std::make_shared<DialOptions>();
  sub->add_option("PEER", o->peer, "Whom to reach")->required();
  sub->add_flag("--explain", o->explain, "Print what was tried, and what came of it");
  sub->add_option("--timeout", o->timeout_s, "Seconds until a path through a relay must do")
      ->check(cli::number_range(0.1, 86400.0))
      ->capture_default_str();
  add_meeting_options(*sub, o->meeting);
  sub->callback([&command, o] { command = [o] { return dial(*o); }; });
}

}  // namespace ptrain::punch
