// ptrain-probe serve: lets others measure the link to this host.

#include <memory>
#include <set>
#include <string>
#include <vector>

#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include "libcommon/base/error.h"
#include "libcommon/base/log.h"
#include "libcommon/cli/event_output.h"
#include "libcommon/cli/json_line.h"
#include "libcommon/net/host_addresses.h"
#include "libcommon/net/warning_limiter.h"
#include "libcommon/os/stop_signal.h"
#include "libcommon/probe/probe_server.h"
#include "libcommon/probe/probing.h"
#include "tools/probe/commands.h"
#include "tools/probe/options.h"

namespace ptrain::probe_tool {
namespace {

struct ServeOptions {
  CommonOptions common;
  std::string listen;  // empty: only members of the ticket's run come, through its relays
  std::string name;    // among them; empty: after the key
  std::vector<std::string> admit;  // public keys
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

void check_name(const ServeOptions& options) {
  if (options.name.empty()) return;
  if (!probe::is_name(options.name)) {
    throw Error(ErrorKind::usage,
                fmt::format("--name {}: expected 1 to {} small letters, digits and -", options.name,
                            probe::kMaxNameChars));
  }
  if (options.common.ticket_file.empty()) {
    throw Error(ErrorKind::usage,
                "--name: only members of a run know names, and there is no "
                "--ticket");
  }
}

probe::ProbeServerOptions server_options(const ServeOptions& options) {
  check_name(options);
  probe::ProbeServerOptions serving;
  if (!options.listen.empty()) serving.listen = net::parse_endpoint(options.listen);
  serving.meeting = meeting_of(options.common);
  if (!serving.listen && !serving.meeting) {
    throw Error(ErrorKind::usage, "nobody could come: neither --listen nor --ticket was given");
  }
  serving.admitted = parse_keys(options.admit);
  const bool keyed = serving.meeting || !options.common.key_file.empty() || !options.admit.empty();
  if (!keyed && serving.listen->is_local()) {
    serving.admitted.reset();  // there are no keys to ask for
  } else if (options.admit.empty() && !serving.meeting) {
    throw Error(ErrorKind::usage, "nobody could measure: neither --admit nor --ticket was given",
                "--admit KEY lets in the host that has it, --ticket whoever has a run's ticket");
  } else {
    serving.key = net::host_key(options.common.key_file);
    serving.name = options.name.empty() ? name_of(serving.key->public_key()) : options.name;
  }
  serving.limits = limits_of(options.common);
  return serving;
}

void print_event(const probe::TestReport& report, cli::EventOutput& output) {
  const bool began = report.kind == probe::TestReport::Kind::began;
  nlohmann::ordered_json line{{"kind", began ? "test_began" : "test_ended"}};
  if (!began) {
    line["received_bytes"] = report.received.value();
    line["sent_bytes"] = report.sent.value();
  }
  if (!report.why.empty()) line["why"] = report.why;
  output.event(line);
}

// Tests without end fill no log.
constexpr unsigned kEventsAtOnce = 20;

void log_event(const probe::TestReport& report, net::WarningLimiter& log, TimePoint now) {
  if (report.kind == probe::TestReport::Kind::began) return log.inform("a test began", now);
  log.inform(fmt::format("a test ended: {:.1f} MB received, {:.1f} MB sent{}{}",
                         static_cast<double>(report.received.value()) / 1e6,
                         static_cast<double>(report.sent.value()) / 1e6,
                         report.why.empty() ? "" : ": ", report.why),
             now);
}

int serve(const ServeOptions& options) {
  const os::StopSignal stop("ptrain-probe");
  const SteadyClock clock;
  StderrLog log("ptrain-probe");
  cli::EventOutput output(log);
  net::WarningLimiter events(log, kEventsAtOnce);
  probe::ProbeServerOptions serving = server_options(options);
  serving.observer = [&](const probe::TestReport& report) {
    options.common.json ? print_event(report, output) : log_event(report, events, clock.now());
  };
  probe::ProbeServer server(std::move(serving), log, clock);
  // Who listens nowhere is ready all the same.
  const std::string endpoint =
      options.listen.empty() ? "meeting" : to_string(net::as_dialled(server.listening()));
  output.ready(options.common.json ? cli::json_line({{"kind", "listening"}, {"endpoint", endpoint}})
                                   : endpoint);
  server.run([&] { return stop.requested(); });
  return 128 + stop.signal_number();
}

}  // namespace

void add_serve(CLI::App& app, Command& command) {
  CLI::App* sub = app.add_subcommand("serve", "Let others measure the link to this host");
  sub->footer(
      "Example:\n"
      "  ptrain-probe serve --listen tcp://0.0.0.0:7300 --admit KEY --max-rate 5MB\n"
      "where KEY is what ptrain-stage identity prints on the host that measures.");
  auto o = std::make_shared<ServeOptions>();
  sub->add_option("--listen", o->listen, "Endpoint to listen at");
  sub->add_option("--admit", o->admit, "Public key that may measure; may be given again")
      ->expected(1)
      ->take_all();
  sub->add_option("--name", o->name, "What it is called in the run, instead of by its key");
  add_common_options(*sub, o->common);
  sub->callback([&command, o] { command = [o] { return serve(*o); }; });
}

}  // namespace ptrain::probe_tool
