// ptrain-punch map: others reach ports of this host, as long as it runs.

#include <memory>
#include <string>
#include <vector>

#include <CLI/CLI.hpp>

#include "libcommon/base/error.h"
#include "libcommon/cli/number_range.h"
#include "libcommon/net/keys.h"
#include "tools/punch/commands.h"
#include "tools/punch/map_session.h"
#include "tools/punch/port_options.h"

namespace ptrain::punch {
namespace {

// A killed program leaves no hole for longer.
constexpr std::chrono::seconds kLongestLease{3600};
constexpr std::chrono::seconds kShortestLease{10};

struct MapCommandOptions {
  PortOptions ports;
  std::int64_t lease_s = MapOptions{}.lease.count();
  bool json = false;
  std::vector<std::string> command;
};

int map(const MapCommandOptions& options) {
  StderrLog log("ptrain-punch");
  MapOptions session{.ports = ports_of(options.ports),
                     .lease = std::chrono::seconds(options.lease_s),
                     .json = options.json,
                     .command = options.command};
  if (session.ports.empty()) {
    throw Error(ErrorKind::usage, "no port to map", "name it with --tcp PORT or --udp PORT");
  }
  const net::KeyPair key = net::host_key({});
  return MapSession(std::move(session), key, log).run();
}

}  // namespace

void add_map(CLI::App& app, Command& command, const Words& behind) {
  CLI::App* sub = app.add_subcommand(
      "map", "Let others reach ports of this host, while a command behind -- runs");
  sub->footer(
      "Example:\n"
      "  ptrain-punch map --tcp 7100 --tcp 7101 -- ptrain-relay serve --state relay");
  auto o = std::make_shared<MapCommandOptions>();
  add_port_options(*sub, "Map", o->ports);
  sub->add_option("--lease", o->lease_s, "Seconds after which a mapping that nobody renews ends")
      ->check(cli::whole_range(kShortestLease.count(), kLongestLease.count()))
      ->capture_default_str();
  sub->add_flag("--json", o->json, "Print JSON");
  o->command = behind;
  sub->callback([&command, o] { command = [o] { return map(*o); }; });
}

}  // namespace ptrain::punch
