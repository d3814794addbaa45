// ptrain-punch unmap: removes mappings that a program which was killed has left.

#include <algorithm>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include "libcommon/base/error.h"
#include "libcommon/base/log.h"
#include "libcommon/cli/exit_code.h"
#include "libcommon/cli/json_line.h"
#include "libcommon/cli/output.h"
#include "libcommon/net/keys.h"
#include "libcommon/portmap/gateway_survey.h"
#include "tools/punch/commands.h"
#include "tools/punch/port_claim.h"
#include "tools/punch/port_options.h"

namespace ptrain::punch {
namespace {

struct UnmapOptions {
  PortOptions ports;
  bool json = false;
};

// Those that are named, or else all that were left. Throws Error(try_again) for one that is kept.
std::vector<Port> chosen(const PortOptions& options) {
  const std::vector<ClaimedPort> claims = claimed_ports();
  std::vector<Port> ports = ports_of(options);
  for (const ClaimedPort& claim : claims) {
    if (claim.held && std::ranges::find(ports, claim.port) != ports.end()) {
      throw Error(ErrorKind::try_again,
                  fmt::format("{} is kept by process {}, which would map it again",
                              to_string(claim.port), claim.holder),
                  "end that process: it removes its mappings");
    }
  }
  if (!ports.empty()) return ports;
  for (const ClaimedPort& claim : claims) {
    if (!claim.held) ports.push_back(claim.port);
  }
  return ports;
}

struct Removal {
  std::set<Port> removed;
  std::vector<std::pair<Port, std::string>> reasons;  // of who did not
  bool anybody = false;
};

Removal remove(const std::vector<Port>& ports, GatewaySurvey& survey) {
  Removal removal;
  survey.run([&] {
    survey.ask_all(survey.looks(), [&](const std::vector<Outcome>& looks) {
      std::vector<Ask> asks;
      for (const Outcome& look : looks) {
        if (!std::holds_alternative<Alive>(look.what)) continue;
        removal.anybody = true;
        for (const Port& port : ports) asks.push_back({look.source, Unmap{.port = port}});
      }
      if (asks.empty()) return;
      survey.ask_all(asks, [&](const std::vector<Outcome>& outcomes) {
        for (const Outcome& outcome : outcomes) {
          if (std::holds_alternative<Removed>(outcome.what)) removal.removed.insert(*outcome.port);
          const auto* refused = std::get_if<Refused>(&outcome.what);
          if (refused == nullptr) continue;
          removal.reasons.emplace_back(
              *outcome.port, fmt::format("{}: {}: {}", survey.services().name(outcome.source),
                                         to_string(*outcome.port), refused->reason));
        }
      });
    });
  });
  return removal;
}

int unmap(const UnmapOptions& options) {
  StderrLog log("ptrain-punch");
  const std::vector<Port> ports = chosen(options.ports);
  if (ports.empty()) {
    log.info("nothing was left: there is nothing to remove");
    return cli::kDone;
  }
  const net::KeyPair key = net::host_key({});
  GatewaySurvey survey(key);
  const Removal removal = remove(ports, survey);
  if (!removal.anybody) {
    throw Error(
        ErrorKind::unavailable, "no mapping service answers",
        "a mapping that nobody renews ends by itself, an hour after it was made at the latest");
  }
  // Services of one router know of each other's mappings, and one of them is enough.
  for (const auto& [port, reason] : removal.reasons) {
    if (!removal.removed.contains(port)) log.warning(reason);
  }
  for (const Port& port : removal.removed) {
    forget_claim(port);
    if (options.json) {
      cli::print_json_line(
          {{"kind", "removed"}, {"protocol", name_of(port.transport)}, {"port", port.number}});
    } else {
      cli::print("{}\n", to_string(port));
    }
  }
  return removal.removed.size() == ports.size() ? cli::kDone : cli::kUnavailable;
}

}  // namespace

void add_unmap(CLI::App& app, Command& command, const Words&) {
  CLI::App* sub = app.add_subcommand("unmap", "Remove what a map that was killed has left");
  sub->footer("Example:\n  ptrain-punch unmap --tcp 7100");
  auto o = std::make_shared<UnmapOptions>();
  add_port_options(*sub, "Remove the mapping of", o->ports);
  sub->add_flag("--json", o->json, "Print JSON");
  sub->callback([&command, o] { command = [o] { return unmap(*o); }; });
}

}  // namespace ptrain::punch
