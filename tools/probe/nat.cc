// ptrain-probe nat: how this host reaches others and is reached, as the echoes of relays show it.

#include <algorithm>
#include <future>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include <CLI/CLI.hpp>
#include <fmt/format.h>
#include <netdb.h>
#include <netinet/in.h>

#include "libcommon/base/error.h"
#include "libcommon/base/log.h"
#include "libcommon/cli/early_end.h"
#include "libcommon/cli/exit_code.h"
#include "libcommon/cli/json_line.h"
#include "libcommon/cli/output.h"
#include "libcommon/cli/progress.h"
#include "libcommon/net/endpoint.h"
#include "libcommon/net/ticket.h"
#include "libcommon/os/stop_signal.h"
#include "libcommon/probe/nat_probe.h"
#include "tools/probe/commands.h"
#include "tools/probe/nat_report.h"

namespace ptrain::probe_tool {
namespace {

// Of one command: a ticket has no more.
constexpr std::size_t kMostRelays = net::kMaxTicketRelays;

struct NatOptions {
  std::vector<std::string> relays;
  std::string ticket_file;
  bool json = false;
};

struct EchoAt {
  std::string name;  // for people
  std::string host;
  std::uint16_t port = 0;  // the first of two
};

// A relay has its echo on the two ports after its data port, unless they were taken there.
EchoAt echo_of(const net::TicketRelay& relay) {
  return {.name = relay.control.host,
          .host = relay.control.host,
          .port = static_cast<std::uint16_t>(relay.data_port + 1)};
}

EchoAt echo_of(const std::string& word) {
  if (word.find(",data=") != std::string::npos) return echo_of(net::parse_relay_word(word));
  const std::string endpoint = word.find("://") == std::string::npos ? "tcp://" + word : word;
  const net::Endpoint parsed = net::parse_endpoint(endpoint);
  if (parsed.kind != net::EndpointKind::direct || parsed.port == 0 || parsed.port == 65535) {
    throw Error(ErrorKind::usage, fmt::format("--relay {}: no relay", word),
                "give the line that ptrain-relay serve prints, or HOST:PORT of its echo (7102)");
  }
  return {.name = parsed.host, .host = parsed.host, .port = parsed.port};
}

std::vector<EchoAt> echoes_of(const NatOptions& options) {
  std::vector<EchoAt> echoes;
  for (const std::string& word : options.relays) echoes.push_back(echo_of(word));
  if (!options.ticket_file.empty()) {
    for (const auto& relay : net::load_valid_ticket(options.ticket_file, net::wall_now()).relays) {
      echoes.push_back(echo_of(relay));
    }
  }
  if (echoes.empty()) {
    throw Error(ErrorKind::usage, "nobody to ask: neither --relay nor --ticket was given");
  }
  if (echoes.size() > kMostRelays) {
    throw Error(ErrorKind::usage,
                fmt::format("{} relays, at most {} are asked", echoes.size(), kMostRelays));
  }
  return echoes;
}

// The first address of each family that the name has.
std::set<net::AddressBytes> addresses_of(const std::string& host) {
  if (const auto numeric = net::parse_address(host)) return {*numeric};
  addrinfo hints{};
  hints.ai_socktype = SOCK_DGRAM;
  addrinfo* list = nullptr;
  if (::getaddrinfo(host.c_str(), nullptr, &hints, &list) != 0) return {};
  const std::unique_ptr<addrinfo, decltype(&::freeaddrinfo)> found(list, &::freeaddrinfo);
  std::optional<net::AddressBytes> v4, v6;
  for (const addrinfo* each = list; each != nullptr; each = each->ai_next) {
    sockaddr_storage storage{};
    std::copy_n(reinterpret_cast<const char*>(each->ai_addr), each->ai_addrlen,
                reinterpret_cast<char*>(&storage));
    const auto address = probe::socket_address(storage);
    if (!address) continue;
    auto& place = probe::is_v4(address->host) ? v4 : v6;
    if (!place) place = address->host;
  }
  std::set<net::AddressBytes> addresses;
  if (v4) addresses.insert(*v4);
  if (v6) addresses.insert(*v6);
  return addresses;
}

struct Family {
  std::vector<std::string> names;
  std::vector<probe::EchoServer> servers;
};

struct Families {
  Family v4, v6;
};

Families look_up(const std::vector<EchoAt>& echoes) {
  Families families;
  for (const EchoAt& echo : echoes) {
    for (const net::AddressBytes& address : addresses_of(echo.host)) {
      Family& family = probe::is_v4(address) ? families.v4 : families.v6;
      family.names.push_back(echo.name);
      family.servers.push_back({address, {echo.port, static_cast<std::uint16_t>(echo.port + 1)}});
    }
  }
  return families;
}

std::optional<net::AddressBytes> own_v6_address() {
  for (const net::Network& network : net::own_networks()) {
    if (!probe::is_v4(network.address) && net::reach_of(network.address) == net::Reach::world) {
      return network.address;
    }
  }
  return std::nullopt;
}

// nullopt without a relay of that family.
std::optional<FamilyReport> survey(const Family& family, NatReport& report,
                                   const os::StopSignal& stop, const Clock& clock) {
  if (family.servers.empty()) return std::nullopt;
  const auto probed = probe::probe_nat(
      family.servers, [&] { return stop.requested(); }, clock);
  if (!probed) throw cli::EarlyEnd{.exit_code = 128 + stop.signal_number()};
  report.routers.insert(report.routers.end(), probed->routers.begin(), probed->routers.end());
  return FamilyReport{.relays = family.names,
                      .findings = probed->findings,
                      .verdict = probe::verdict_of(probed->findings),
                      .took = probed->took};
}

int nat(const NatOptions& options) {
  const os::StopSignal stop("ptrain-probe");
  const SteadyClock clock;
  cli::ProgressLine line(clock);
  const std::vector<EchoAt> echoes = echoes_of(options);
  const Families families = look_up(echoes);
  if (families.v4.servers.empty() && families.v6.servers.empty()) {
    throw Error(ErrorKind::unavailable,
                fmt::format("{}: its name has no address", echoes.front().name));
  }
  // While the routers are asked what they would map, relays say what is seen of this host.
  auto services = std::async(std::launch::async, find_mapping_services);
  line.update("nat: asks relays and routers");
  NatReport report{.began = std::chrono::system_clock::now()};
  report.v6_address = own_v6_address();
  report.v4 = survey(families.v4, report, stop, clock);
  report.v6 = survey(families.v6, report, stop, clock);
  report.services = services.get();
  if (behind_carrier(report)) {
    for (MappingService& each : report.services) {
      if (each.answers && each.worthless.empty()) {
        each.worthless = "it maps a port of the carrier's own net";
      }
    }
  }
  line.clear();
  if (options.json) {
    cli::print_json_line(to_json(report));
  } else {
    cli::print("{}", to_table(report));
  }
  const bool reached = main_family(report).verdict.nearest.has_value();
  return reached ? cli::kDone : cli::kUnavailable;
}

}  // namespace

void add_nat(CLI::App& app, Command& command) {
  CLI::App* sub = app.add_subcommand("nat", "Say what this host's router lets out and in");
  sub->footer(
      "With two relays at different addresses every class of router is told from the others.\n\n"
      "Example:\n"
      "  ptrain-probe nat --relay WORD\n"
      "where WORD is the line that ptrain-relay serve prints, or HOST:PORT of its echo (7102).");
  auto o = std::make_shared<NatOptions>();
  sub->add_option("--relay", o->relays, "A relay to ask; may be given again")
      ->expected(1)
      ->take_all();
  sub->add_option("--ticket", o->ticket_file, "Of a run: its relays are asked");
  sub->add_flag("--json", o->json, "Print JSON");
  sub->callback([&command, o] { command = [o] { return nat(*o); }; });
}

}  // namespace ptrain::probe_tool
