// ptrain-relay serve: the relay itself.

#include <array>
#include <chrono>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include <CLI/CLI.hpp>
#include <fmt/format.h>
#include <unistd.h>

#include "libcommon/base/boot_clock.h"
#include "libcommon/base/error.h"
#include "libcommon/base/log.h"
#include "libcommon/base/random_source.h"
#include "libcommon/cli/event_output.h"
#include "libcommon/cli/json_line.h"
#include "libcommon/cli/number_range.h"
#include "libcommon/net/address_reach.h"
#include "libcommon/net/host_addresses.h"
#include "libcommon/net/keys.h"
#include "libcommon/net/listen_address.h"
#include "libcommon/net/outside_ports.h"
#include "libcommon/net/peer_id.h"
#include "libcommon/net/relay_word.h"
#include "libcommon/net/warning_limiter.h"
#include "libcommon/os/reload_signal.h"
#include "libcommon/os/stop_signal.h"
#include "tools/relay/carrier/carrier.h"
#include "tools/relay/carrier/echo.h"
#include "tools/relay/commands.h"
#include "tools/relay/line_writer.h"
#include "tools/relay/local_endpoint.h"
#include "tools/relay/metrics_port.h"
#include "tools/relay/metrics_text.h"
#include "tools/relay/outside_word.h"
#include "tools/relay/public_host.h"
#include "tools/relay/relay.h"
#include "tools/relay/signal_thread.h"
#include "tools/relay/state_lock.h"

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
  std::optional<std::uint16_t> echo_port;  // and the one after it; those after the data port
  bool no_echo = false;
  std::optional<std::uint16_t> metrics_port;
  std::optional<std::string> public_host;
  AccessOptions access;
  std::int64_t lease_s = kDefaultLease / std::chrono::seconds(1);
  RegistryLimits limits;
  bool json = false;
};

net::Endpoint listened(const std::string& text, Log& log, const Clock& clock) {
  net::Endpoint endpoint = net::parse_endpoint(text);
  if (endpoint.kind != net::EndpointKind::direct || endpoint.key) {
    throw Error(ErrorKind::usage,
                fmt::format("--listen {}: only tcp://HOST:PORT, without a key", text));
  }
  const net::ListenAddress at = net::listen_address(endpoint.host, clock);
  if (!at.remark.empty()) log.warning(at.remark);
  endpoint.host = at.host;
  return endpoint;
}

std::string line_of(const RelayEvent& event) {
  nlohmann::ordered_json line{{"kind", name_of(event.kind)}};
  if (event.kind == RelayEvent::Kind::neighbour_came ||
      event.kind == RelayEvent::Kind::neighbour_went) {
    line["relay"] = event.host;
    line["key"] = net::to_hex(event.who.peer_key);
    return cli::json_line(line);
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
  if (event.kind == RelayEvent::Kind::refused) line["key"] = net::to_hex(event.who.peer_key);
  if (!event.reason.empty()) line["reason"] = event.reason;
  if (!event.remedy.empty()) line["remedy"] = event.remedy;
  return cli::json_line(line);
}

// Of somebody whom the operator could let in.
std::string refusal_text(const RelayEvent& event) {
  return fmt::format("refused {} with key {} ({}): {}", event.host, net::to_hex(event.who.peer_key),
                     event.reason, event.remedy);
}

// A relay that goes on without one of its parts would be half a relay.
struct Part {
  const char* name;
  std::function<std::optional<std::string>()> trouble;
};

std::optional<std::string> dead_part(const std::vector<Part>& parts) {
  for (const Part& part : parts) {
    if (const auto why = part.trouble())
      return fmt::format("the {} has ended: {}", part.name, *why);
  }
  return std::nullopt;
}

std::unique_ptr<Echo> echo_at(const std::string& host, std::uint16_t first, const Clock& clock) {
  const auto second = static_cast<std::uint16_t>(first == 0 ? 0 : first + 1);
  return std::make_unique<Echo>(EchoOptions{.host = host, .ports = {first, second}}, clock);
}

// That of which nobody has said anything: a relay is of use without it, and members are told its
// ports, whichever these are.
std::unique_ptr<Echo> usual_echo(const std::string& host, std::uint16_t data_port,
                                 bool data_port_chosen, Log& log, const Clock& clock) {
  try {
    if (data_port < UINT16_MAX - 1) {
      return echo_at(host, static_cast<std::uint16_t>(data_port + 1), clock);
    }
  } catch (const Error& error) {
    if (data_port_chosen) {
      log.warning(
          fmt::format("{}: the echo takes other ports; --echo PORT chooses them", error.what()));
    }
  }
  try {
    return echo_at(host, 0, clock);
  } catch (const Error& error) {
    log.warning(fmt::format("members are not told their outside address: {}", error.what()));
    return nullptr;
  }
}

std::unique_ptr<Echo> open_echo(const std::string& host, const ServeOptions& options,
                                std::uint16_t data_port, Log& log, const Clock& clock) {
  if (options.no_echo) return nullptr;
  if (!options.echo_port) return usual_echo(host, data_port, options.data_port != 0, log, clock);
  if (*options.echo_port == UINT16_MAX) {
    throw Error(ErrorKind::usage, "--echo 65535: it takes that port and the next one");
  }
  return echo_at(host, *options.echo_port, clock);
}

// Where everything listens.
struct OpenPorts {
  net::TicketRelay relay;
  std::optional<std::array<std::uint16_t, 2>> echo;
  std::optional<std::uint16_t> metrics;
};

// The host that others dial: what the operator says, or else where we listen.
std::string dialled_host(const net::Endpoint& listening, const ServeOptions& options, Log& log) {
  if (options.public_host) return parse_public_host(*options.public_host);
  net::Endpoint asked = listening;
  asked.host = net::parse_endpoint(options.listen).host;
  const std::string host = net::as_dialled(asked).host;
  const auto address = host == asked.host ? std::nullopt : net::parse_address(host);
  if (address && net::reach_of(*address) != net::Reach::world) {
    log.warning(
        fmt::format("others are told to dial {}, which other networks do not reach: "
                    "--public-host NAME says what to print instead",
                    host));
  }
  return host;
}

// What others are told: where a router maps our ports, its host and ports.
class Announced {
 public:
  // Both outlive the object.
  Announced(const OpenPorts& open, const ServeOptions& options, Log& log)
      : options_(options), log_(log), outside_(net::outside_ports_file()) {
    outside_.look(TimePoint{});
    inside_ = {.relay = open.relay, .echo = open.echo};
    const bool mapped =
        net::find_outside(outside_.ports(), "tcp", open.relay.control.port) != nullptr;
    if (!mapped || options.public_host) {
      inside_.relay.control.host = dialled_host(open.relay.control, options, log);
    }
    reached_ = latest();
    warn_of_what_is_missing();
  }

  const Reached& reached() const { return reached_; }

  // Reads the file again; true when something else is to be told from now on.
  bool look(TimePoint now) {
    if (!outside_.look(now)) return false;
    const Reached before = reached_;
    reached_ = latest();
    warn_of_what_is_missing();
    if (reached_ == before) return false;
    if (reached_.relay != before.relay && reached_.unmapped.empty()) {
      log_.warning(fmt::format(
          "others reach this relay at {} now: tickets that name {} are of no use for that any "
          "more, and a new one is needed (ptrain-relay ticket new)",
          to_word(reached_.relay), to_word(before.relay)));
    }
    return true;
  }

 private:
  // While nothing is mapped, what was told stands: it may be so again in a moment.
  Reached latest() const {
    if (!outside_.named()) return inside_;
    Reached latest = reached_outside(inside_, outside_.ports(), options_.public_host.has_value());
    if (!latest.unmapped.empty() && !reached_.relay.control.host.empty()) {
      latest.relay = reached_.relay;
    }
    return latest;
  }
  void warn_of_what_is_missing() const {
    if (!outside_.flaw().empty()) log_.warning(outside_.flaw());
    for (const std::uint16_t port : reached_.unmapped) {
      log_.warning(
          fmt::format("tcp port {} is not mapped now: from outside nobody reaches it "
                      "(ptrain-punch map --tcp {})",
                      port, port));
    }
  }

  const ServeOptions& options_;
  Log& log_;
  net::OutsidePorts outside_;
  Reached inside_;
  Reached reached_;
};

std::vector<std::uint16_t> echo_ports(const Reached& reached) {
  if (!reached.echo) return {};
  return {(*reached.echo)[0], (*reached.echo)[1]};
}

nlohmann::ordered_json word_line(const char* kind, const Reached& reached) {
  nlohmann::ordered_json line{{"kind", kind},
                              {"relay", to_word(reached.relay)},
                              {"endpoint", to_string(reached.relay.control)},
                              {"data_port", reached.relay.data_port}};
  if (reached.echo) line["echo_ports"] = *reached.echo;
  return line;
}

// The line that people paste after --relay.
void print_ready(const Reached& reached, const OpenPorts& open, const ServeOptions& options,
                 Log& log) {
  if (!options.json) return cli::EventOutput(log).ready(to_word(reached.relay));
  nlohmann::ordered_json line = word_line("listening", reached);
  if (open.metrics) line["metrics_port"] = *open.metrics;
  cli::EventOutput(log).ready(cli::json_line(line));
}

int serve(const ServeOptions& options) {
  os::StopSignal stop("ptrain-relay");
  os::ReloadSignal reload;
  const SignalThread signals;
  const BootClock clock;  // a lease ends while the host sleeps, too
  LineWriter errors(STDERR_FILENO, [](std::uint64_t lines) {
    return fmt::format("ptrain-relay: warning: {} lines were not read in time, and are lost",
                       lines);
  });
  PatientLog log("ptrain-relay", errors);
  os::PosixStorage storage(&log);
  const std::filesystem::path state(options.state);
  if (options.public_host) parse_public_host(*options.public_host);  // before anything is made
  RelayOptions relay_options{.listen = listened(options.listen, log, clock),
                             .key = net::load_or_create_key(state / "key"),
                             .limits = options.limits,
                             .state = state,
                             .read_access = {}};
  const StateLock ours(state, log);
  relay_options.read_access = [&options, own = relay_options.key.public_key()] {
    return read_access(options.access, own);
  };
  relay_options.limits.lease = std::chrono::seconds(options.lease_s);
  LineWriter events(STDOUT_FILENO, [](std::uint64_t lines) {
    return cli::json_line(nlohmann::ordered_json{{"kind", "dropped"}, {"events", lines}});
  });
  net::WarningLimiter warnings(log);
  relay_options.observer = [&](const RelayEvent& event) {
    if (options.json) return events.put(line_of(event));
    if (!event.remedy.empty()) warnings.warn(refusal_text(event), clock.now());
  };
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
  const std::unique_ptr<Echo> echo =
      open_echo(relay.listening().host, options, carrier.port(), log, clock);
  std::vector<Part> parts{{"data port", [&carrier] { return carrier.trouble(); }}};
  if (echo) {
    parts.push_back({"echo", [&echo] { return echo->trouble(); }});
  }
  std::unique_ptr<MetricsPort> metrics;
  if (options.metrics_port) {
    metrics = std::make_unique<MetricsPort>(*options.metrics_port, [&] {
      const std::scoped_lock lock(figures_mutex);
      return metrics_text(figures, carrier.totals(),
                          echo ? std::optional(echo->totals()) : std::nullopt);
    });
  }
  save_local_endpoint(relay.listening(), state, storage);
  const OpenPorts open{.relay = {.control = relay.listening(), .data_port = carrier.port()},
                       .echo = echo ? std::optional(echo->ports()) : std::nullopt,
                       .metrics = metrics ? std::optional(metrics->port()) : std::nullopt};
  Announced announced(open, options, log);
  relay.set_echo_ports(echo_ports(announced.reached()));
  print_ready(announced.reached(), open, options, log);
  std::optional<std::string> dead;
  relay.run(
      [&] {
        dead = dead_part(parts);
        if (announced.look(clock.now())) {
          relay.set_echo_ports(echo_ports(announced.reached()));
          if (options.json) {
            events.put(cli::json_line(word_line("moved", announced.reached())));
          }
        }
        return stop.requested() || dead;
      },
      [&] { return reload.take(); });
  if (dead) throw Error(ErrorKind::io, *dead, "start the relay again");
  carrier.stop(kDrain);
  return 128 + stop.signal_number();
}

}  // namespace

void add_serve(CLI::App& app, Command& command) {
  CLI::App* sub = app.add_subcommand("serve", "Be the relay");
  sub->footer("Example:\n  ptrain-relay serve --state relay --public-host relay.example.net");
  auto o = std::make_shared<ServeOptions>();
  sub->add_option("--state", o->state, "Folder for the relay's key and registry")->required();
  sub->add_option("--listen", o->listen, "Where peers register: tcp://HOST:PORT, 0 for any port")
      ->capture_default_str();
  sub->add_option("--data", o->data_port, "Port that carries bytes between peers, 0 for any")
      ->capture_default_str();
  CLI::Option* echo = sub->add_option(
      "--echo", o->echo_port,
      "Tell peers their outside address on this port and the next, not on those after the data "
      "port; 0 for any");
  sub->add_flag("--no-echo", o->no_echo, "Do not tell peers their outside address")->excludes(echo);
  sub->add_option("--metrics", o->metrics_port,
                  "Port of 127.0.0.1 for Prometheus to read figures from; 0 for any");
  sub->add_option("--public-host", o->public_host,
                  "The name or address by which others dial us, without a port");
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
      ->check(cli::whole_range(kShortestLease.count(), kLongestLease.count()))
      ->capture_default_str();
  sub->add_option("--max-peers", o->limits.members, "Registrations at a time")
      ->check(cli::whole_range(1, 1000000))
      ->capture_default_str();
  sub->add_option("--max-peers-per-host", o->limits.members_per_host,
                  "Registrations from one address at a time")
      ->check(cli::whole_range(1, 1000000))
      ->capture_default_str();
  sub->add_flag("--json", o->json, "Print events as JSON");
  sub->callback([&command, o] { command = [o] { return serve(*o); }; });
}

}  // namespace ptrain::relay
