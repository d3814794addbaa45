// ptrain-relay serve: the relay itself.

#include <array>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <memory>
#include <mutex>
#include <optional>
#include <string>

#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include "libcommon/base/error.h"
#include "libcommon/base/log.h"
#include "libcommon/base/random_source.h"
#include "libcommon/cli/json_line.h"
#include "libcommon/net/keys.h"
#include "libcommon/net/peer_id.h"
#include "libcommon/net/relay_word.h"
#include "libcommon/os/reload_signal.h"
#include "libcommon/os/stop_signal.h"
#include "tools/relay/carrier/carrier.h"
#include "tools/relay/carrier/echo.h"
#include "tools/relay/commands.h"
#include "tools/relay/descriptor_limit.h"
#include "tools/relay/local_endpoint.h"
#include "tools/relay/metrics_port.h"
#include "tools/relay/metrics_text.h"
#include "tools/relay/relay.h"

namespace ptrain::relay {
namespace {

constexpr std::chrono::seconds kShortestLease{3};
constexpr std::chrono::seconds kLongestLease{3600};
// What streams get to move elsewhere, once their peers were told of the end.
constexpr Duration kDrain = std::chrono::seconds(5);

struct ServeOptions {
  std::string state;
  std::string listen = "tcp://0.0.0.0:7100";
  std::uint16_t data_port = 7101;
  std::optional<std::uint16_t> echo_port;  // and the one after it
  std::optional<std::uint16_t> metrics_port;
  std::string public_host;
  AccessOptions access;
  std::int64_t lease_s = kDefaultLease / std::chrono::seconds(1);
  RegistryLimits limits;
  bool json = false;
};

net::Endpoint listened(const std::string& text) {
  const net::Endpoint endpoint = net::parse_endpoint(text);
  if (endpoint.kind != net::EndpointKind::direct || endpoint.key) {
    throw Error(ErrorKind::usage,
                fmt::format("--listen {}: only tcp://HOST:PORT, without a key", text));
  }
  return endpoint;
}

bool is_any_address(const std::string& host) {
  return host == "0.0.0.0" || host == "[::]" || host == "*";
}

void print_event(const RelayEvent& event) {
  nlohmann::ordered_json line{{"kind", name_of(event.kind)}};
  if (event.kind == RelayEvent::Kind::neighbour_came ||
      event.kind == RelayEvent::Kind::neighbour_went) {
    line["relay"] = event.host;
    line["key"] = net::to_hex(event.who.peer_key);
    cli::print_json_line(line);
    std::fflush(stdout);
    return;
  }
  if (event.kind != RelayEvent::Kind::refused) {
    line["run"] = net::RunId(event.run_key).to_string();
    line["role"] = event.who.role;
  }
  line["peer"] = net::PeerId(event.who.peer_key).to_string();
  if (event.kind == RelayEvent::Kind::introduced) {
    line["other_role"] = event.other.role;
    line["other_peer"] = net::PeerId(event.other.peer_key).to_string();
  }
  if (!event.host.empty()) line["host"] = event.host;
  if (!event.reason.empty()) line["reason"] = event.reason;
  cli::print_json_line(line);
  std::fflush(stdout);
}

std::unique_ptr<Echo> open_echo(const std::string& host, const ServeOptions& options, Log& log,
                                const Clock& clock) {
  if (!options.echo_port) return nullptr;
  const std::uint16_t first = *options.echo_port;
  if (first == UINT16_MAX) {
    throw Error(ErrorKind::usage, "--echo 65535: it takes that port and the next one");
  }
  const auto second = static_cast<std::uint16_t>(first == 0 ? 0 : first + 1);
  return std::make_unique<Echo>(EchoOptions{.host = host, .ports = {first, second}}, log, clock);
}

// Where everything listens.
struct OpenPorts {
  net::TicketRelay relay;
  std::optional<std::array<std::uint16_t, 2>> echo;
  std::optional<std::uint16_t> metrics;
};

// The line that people paste after --relay.
void print_ready(const OpenPorts& open, const ServeOptions& options, Log& log) {
  net::TicketRelay relay = open.relay;
  const std::string listening = relay.control.host;
  if (!options.public_host.empty()) {
    relay.control.host = options.public_host;
  } else if (is_any_address(listening)) {
    log.warning(fmt::format("others cannot dial {}: --public-host NAME says what to print instead",
                            listening));
  }
  if (options.json) {
    nlohmann::ordered_json line{{"kind", "listening"},
                                {"relay", to_word(relay)},
                                {"endpoint", to_string(relay.control)},
                                {"data_port", relay.data_port}};
    if (open.echo) line["echo_ports"] = *open.echo;
    if (open.metrics) line["metrics_port"] = *open.metrics;
    cli::print_json_line(line);
  } else {
    fmt::print("{}\n", to_word(relay));
  }
  std::fflush(stdout);
}

int serve(const ServeOptions& options) {
  os::StopSignal stop("ptrain-relay");
  os::ReloadSignal reload;
  raise_descriptor_limit();
  const SteadyClock clock;
  StderrLog log("ptrain-relay");
  os::PosixStorage storage;
  const std::filesystem::path state(options.state);
  RelayOptions relay_options{.listen = listened(options.listen),
                             .key = net::load_or_create_key(state / "key"),
                             .limits = options.limits,
                             .state = state,
                             .read_access = {}};
  relay_options.read_access = [&options, own = relay_options.key.public_key()] {
    return read_access(options.access, own);
  };
  relay_options.limits.lease = std::chrono::seconds(options.lease_s);
  if (options.json) relay_options.observer = print_event;
  std::mutex figures_mutex;
  ControlFigures figures;
  relay_options.figures = [&](const ControlFigures& latest) {
    const std::scoped_lock lock(figures_mutex);
    figures = latest;
  };
  SystemRandom random;
  TokenDesk desk({}, random);
  Carrier carrier({.host = relay_options.listen.host, .port = options.data_port}, desk, log, clock);
  relay_options.traffic_of = [&carrier](const net::PublicKey& peer) {
    const auto traffic = carrier.traffic_of(peer);
    return traffic ? std::optional(CarriedTraffic{.connections = traffic->connections,
                                                  .sent_bytes = traffic->sent.value()})
                   : std::nullopt;
  };
  Relay relay(std::move(relay_options), desk, storage, log, clock);
  const std::unique_ptr<Echo> echo = open_echo(relay.listening().host, options, log, clock);
  std::unique_ptr<MetricsPort> metrics;
  if (options.metrics_port) {
    metrics = std::make_unique<MetricsPort>(*options.metrics_port, [&] {
      const std::scoped_lock lock(figures_mutex);
      return metrics_text(figures, carrier.totals(),
                          echo ? std::optional(echo->totals()) : std::nullopt);
    });
  }
  save_local_endpoint(relay.listening(), state, storage);
  print_ready({.relay = {.control = relay.listening(), .data_port = carrier.port()},
               .echo = echo ? std::optional(echo->ports()) : std::nullopt,
               .metrics = metrics ? std::optional(metrics->port()) : std::nullopt},
              options, log);
  relay.run([&] { return stop.requested(); }, [&] { return reload.take(); });
  carrier.stop(kDrain);
  return 128 + stop.signal_number();
}

}  // namespace

void add_serve(CLI::App& app, Command& command) {
  CLI::App* sub = app.add_subcommand("serve", "Be the relay");
  auto o = std::make_shared<ServeOptions>();
  sub->add_option("--state", o->state, "Folder for the relay's key and registry")->required();
  sub->add_option("--listen", o->listen, "Where peers register: tcp://HOST:PORT, 0 for any port")
      ->capture_default_str();
  sub->add_option("--data", o->data_port, "Port that carries bytes between peers, 0 for any")
      ->capture_default_str();
  sub->add_option("--echo", o->echo_port,
                  "Tell peers their outside address, on this port and the next; 0 for any");
  sub->add_option("--metrics", o->metrics_port,
                  "Port of 127.0.0.1 for Prometheus to read figures from; 0 for any");
  sub->add_option("--public-host", o->public_host, "The name or address by which others dial us");
  sub->add_option("--allow-peer", o->access.peers, "Serve this public key; may be given again")
      ->expected(1)
      ->take_all();
  sub->add_option("--allow-run", o->access.runs, "Serve this run id; may be given again")
      ->expected(1)
      ->take_all();
  sub->add_option("--allow-file", o->access.file,
                  "Serve the keys and runs of this file only; read again on SIGHUP");
  sub->add_option("--neighbour", o->access.neighbours,
                  "Exchange members with this relay, which names this one too; may be given again")
      ->expected(1)
      ->take_all();
  sub->add_option("--neighbour-file", o->access.neighbour_file,
                  "Relays to exchange members with, one a line; read again on SIGHUP");
  sub->add_option("--lease", o->lease_s, "Seconds for which a registration holds")
      ->check(CLI::Range(kShortestLease.count(), kLongestLease.count()))
      ->capture_default_str();
  sub->add_option("--max-peers", o->limits.members, "Registrations at a time")
      ->check(CLI::Range(1, 1000000))
      ->capture_default_str();
  sub->add_option("--max-peers-per-host", o->limits.members_per_host,
                  "Registrations from one address at a time")
      ->check(CLI::Range(1, 1000000))
      ->capture_default_str();
  sub->add_flag("--json", o->json, "Print events as JSON");
  sub->callback([&command, o] { command = [o] { return serve(*o); }; });
}

}  // namespace ptrain::relay
