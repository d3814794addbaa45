// ptrain-ckpt serve: gives the checkpoints of a folder to those who may have them.

#include <cstdio>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include "libcommon/base/error.h"
#include "libcommon/base/log.h"
#include "libcommon/ckpt/checkpoint_name.h"
#include "libcommon/cli/event_output.h"
#include "libcommon/cli/exit_code.h"
#include "libcommon/cli/json_line.h"
#include "libcommon/cli/number_range.h"
#include "libcommon/cli/output.h"
#include "libcommon/net/guest_admission.h"
#include "libcommon/net/host_addresses.h"
#include "libcommon/net/outside_ports.h"
#include "libcommon/net/warning_limiter.h"
#include "libcommon/os/stop_signal.h"
#include "libcommon/transfer/checkpoint_server.h"
#include "tools/ckpt/commands.h"
#include "tools/ckpt/holder_options.h"
#include "tools/ckpt/options.h"
#include "tools/ckpt/quantity.h"

namespace ptrain::ckpt_tool {
namespace {

struct ServeCommandOptions {
  CommonOptions common;
  std::string listen;  // empty: only members of the ticket's run come, through its relays
  std::string ticket_file;
  std::vector<std::string> admit;  // public keys
  bool anyone = false;
  std::string key_file;
  std::size_t clients = transfer::kDefaultClients;
  std::uint64_t rate_bytes_per_s = 0;  // 0: no limit
  std::vector<std::string> also;       // endpoints
};

std::set<net::PublicKey> parse_keys(const std::vector<std::string>& texts) {
  std::set<net::PublicKey> keys;
  for (const std::string& text : texts) {
    const auto key = net::parse_public_key(text);
    if (!key) {
      throw Error(ErrorKind::usage, fmt::format("--admit {}: not 64 hexadecimal digits", text),
                  "a host's public key is what ptrain-stage identity prints there");
    }
    keys.insert(*key);
  }
  return keys;
}

transfer::ServeOptions serve_options(const ServeCommandOptions& options) {
  transfer::ServeOptions serve;
  if (!options.listen.empty()) serve.listen = net::parse_endpoint(options.listen);
  serve.meeting = meeting_of(options.ticket_file);
  if (!options.anyone) serve.admitted = parse_keys(options.admit);
  const bool keyed = serve.meeting || !options.key_file.empty() || !options.admit.empty();
  if (!serve.listen && !serve.meeting) {
    throw Error(ErrorKind::usage, "nobody could come: neither --listen nor --ticket was given");
  }
  if (!keyed && serve.listen->is_local()) {
    serve.admitted.reset();  // there are no keys to ask for
  } else if (!options.anyone && options.admit.empty() && !serve.meeting) {
    throw Error(ErrorKind::usage,
                "nobody could fetch: none of --admit, --anyone and --ticket was given",
                "--admit KEY lets in the host that has it, --ticket whoever has a run's ticket, "
                "--anyone whoever comes");
  } else {
    serve.key = net::host_key(options.key_file);
  }
  serve.max_clients = options.clients;
  for (const std::string& text : options.also) {
    serve.alternatives.push_back(net::parse_endpoint(text));
  }
  serve.rate_bytes_per_s = rate_of(options.rate_bytes_per_s);
  return serve;
}

void print_event(const transfer::ClientReport& report, cli::EventOutput& output) {
  const bool joined = report.kind == transfer::ClientReport::Kind::joined;
  nlohmann::ordered_json line{{"kind", joined ? "client_joined" : "client_left"}};
  if (!joined) line["sent_bytes"] = report.sent_bytes.value();
  if (!report.why.empty()) line["why"] = report.why;
  output.event(line);
}

// Who comes and goes without end fills no log.
constexpr unsigned kEventsAtOnce = 20;

void log_event(const transfer::ClientReport& report, net::WarningLimiter& log, TimePoint now) {
  if (report.kind == transfer::ClientReport::Kind::joined) {
    return log.inform("a client has come", now);
  }
  log.inform(fmt::format("a client has left with {}{}{}", size_text(report.sent_bytes),
                         report.why.empty() ? "" : ": ", report.why),
             now);
}

// What others dial: where a router maps our port, its host and port.
net::Endpoint as_reached(const net::Endpoint& bound, const std::vector<net::OutsidePort>& ports) {
  net::Endpoint reached = net::as_dialled(bound);
  if (bound.kind != net::EndpointKind::direct) return reached;
  const net::OutsidePort* outside = net::find_outside(ports, "tcp", bound.port);
  if (outside == nullptr) return reached;
  reached.host = outside->host;
  reached.port = outside->outside;
  return reached;
}

// Says where others find us, and again when that is another place.
class Whereabouts {
 public:
  // Both outlive the object.
  Whereabouts(std::optional<net::Endpoint> bound, bool json, cli::EventOutput& output, Log& log)
      : bound_(std::move(bound)),
        json_(json),
        output_(output),
        log_(log),
        outside_(net::outside_ports_file()) {
    outside_.look(TimePoint{});
    warn_of_flaws();
    told_ = endpoint();
    output_.ready(line("listening"));
  }
  void look(TimePoint now) {
    if (!bound_ || !outside_.look(now)) return;
    warn_of_flaws();
    const std::string latest = endpoint();
    if (latest == told_) return;
    told_ = latest;
    log_.info("others reach this holder at " + told_ + " now");
    if (json_) output_.line(line("moved"));
  }

 private:
  // Who listens nowhere is ready all the same.
  std::string endpoint() const {
    return bound_ ? to_string(as_reached(*bound_, outside_.ports())) : "meeting";
  }
  std::string line(const char* kind) const {
    return json_ ? cli::json_line({{"kind", kind}, {"endpoint", told_}}) : told_;
  }
  void warn_of_flaws() const {
    if (bound_ && !outside_.flaw().empty()) log_.warning(outside_.flaw());
  }

  std::optional<net::Endpoint> bound_;
  bool json_;
  cli::EventOutput& output_;
  Log& log_;
  net::OutsidePorts outside_;
  std::string told_;
};

int serve(const ServeCommandOptions& options) {
  const os::StopSignal stop("ptrain-ckpt");
  const SteadyClock clock;
  StderrLog log("ptrain-ckpt");
  cli::EventOutput output(log);
  os::PosixStorage storage;
  transfer::ServeOptions serving = serve_options(options);
  serving.directory = ckpt::checkpoint_folder(storage, options.common.dir);
  if (!storage.status(serving.directory)) {
    log.warning(fmt::format("no folder {} yet", serving.directory.string()));
  }
  net::WarningLimiter events(log, kEventsAtOnce);
  serving.observer = [&](const transfer::ClientReport& report) {
    options.common.json ? print_event(report, output) : log_event(report, events, clock.now());
  };
  transfer::CheckpointServer server(std::move(serving), storage, log, clock);
  Whereabouts whereabouts(options.listen.empty() ? std::nullopt : std::optional(server.listening()),
                          options.common.json, output, log);
  server.run([&] {
    whereabouts.look(clock.now());
    return stop.requested();
  });
  return 128 + stop.signal_number();
}

}  // namespace

void add_serve(CLI::App& app, Command& command) {
  CLI::App* sub = app.add_subcommand("serve", "Give checkpoints to those who may have them");
  sub->footer(
      "Example:\n"
      "  ptrain-ckpt serve --dir run/ckpt --listen tcp://0.0.0.0:7100 --admit KEY\n"
      "where KEY is what ptrain-stage identity prints on the host that fetches.");
  auto o = std::make_shared<ServeCommandOptions>();
  sub->add_option("--listen", o->listen, "Endpoint to listen at");
  add_ticket_option(*sub, o->ticket_file);
  auto* admit =
      sub->add_option("--admit", o->admit, "Public key that may fetch; may be given again")
          ->expected(1)
          ->take_all();
  sub->add_flag("--anyone", o->anyone, "Whoever comes may fetch")->excludes(admit);
  add_key_option(*sub, o->key_file);
  sub->add_option("--clients", o->clients, "Clients at a time")
      ->check(cli::whole_range(std::size_t{1}, net::kMostGuests))
      ->capture_default_str();
  add_rate_option(*sub, o->rate_bytes_per_s);
  sub->add_option("--also", o->also, "Endpoint of another holder, for those who are refused")
      ->expected(1)
      ->take_all();
  add_folder_options(*sub, o->common);
  sub->callback([&command, o] { command = [o] { return serve(*o); }; });
}

}  // namespace ptrain::ckpt_tool
