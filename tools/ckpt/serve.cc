// ptrain-ckpt serve: gives the checkpoints of a folder to those who may have them.

#include <cstdio>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include "libcommon/base/error.h"
#include "libcommon/base/log.h"
#include "libcommon/cli/exit_code.h"
#include "libcommon/cli/json_line.h"
#include "libcommon/net/server.h"
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
  std::string listen;
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
  serve.directory = options.common.dir;
  serve.listen = net::parse_endpoint(options.listen);
  if (!options.anyone) serve.admitted = parse_keys(options.admit);
  const bool plain = serve.listen.is_local() && options.key_file.empty() && options.admit.empty();
  if (plain) {
    serve.admitted.reset();  // there are no keys to ask for
  } else if (!options.anyone && options.admit.empty()) {
    throw Error(ErrorKind::usage, "nobody could fetch: neither --admit nor --anyone was given",
                "--admit KEY lets in the host that has it, --anyone whoever comes");
  } else {
    const std::filesystem::path file(options.key_file);
    serve.key = net::load_or_create_key(file.empty() ? net::default_key_path() : file);
  }
  serve.max_clients = options.clients;
  for (const std::string& text : options.also) {
    serve.alternatives.push_back(net::parse_endpoint(text));
  }
  serve.rate_bytes_per_s = rate_of(options.rate_bytes_per_s);
  return serve;
}

void print_event(const transfer::ClientReport& report) {
  const bool joined = report.kind == transfer::ClientReport::Kind::joined;
  nlohmann::ordered_json line{{"kind", joined ? "client_joined" : "client_left"}};
  if (!joined) line["sent_bytes"] = report.sent_bytes.value();
  if (!report.why.empty()) line["why"] = report.why;
  cli::print_json_line(line);
  std::fflush(stdout);
}

void log_event(const transfer::ClientReport& report, Log& log) {
  if (report.kind == transfer::ClientReport::Kind::joined) return log.info("a client has come");
  log.info(fmt::format("a client has left with {}{}{}", size_text(report.sent_bytes),
                       report.why.empty() ? "" : ": ", report.why));
}

int serve(const ServeCommandOptions& options) {
  const os::StopSignal stop("ptrain-ckpt");
  const SteadyClock clock;
  StderrLog log("ptrain-ckpt");
  os::PosixStorage storage;
  if (!storage.status(options.common.dir)) {
    log.warning(fmt::format("no folder {} yet", options.common.dir));
  }
  transfer::ServeOptions serving = serve_options(options);
  serving.observer = [&](const transfer::ClientReport& report) {
    options.common.json ? print_event(report) : log_event(report, log);
  };
  transfer::CheckpointServer server(std::move(serving), storage, log, clock);
  const std::string endpoint = to_string(server.listening());
  if (options.common.json) {
    cli::print_json_line({{"kind", "listening"}, {"endpoint", endpoint}});
  } else {
    fmt::print("{}\n", endpoint);
  }
  std::fflush(stdout);
  server.run([&] { return stop.requested(); });
  return 128 + stop.signal_number();
}

}  // namespace

void add_serve(CLI::App& app, Command& command) {
  CLI::App* sub = app.add_subcommand("serve", "Give checkpoints to those who may have them");
  auto o = std::make_shared<ServeCommandOptions>();
  sub->add_option("--listen", o->listen, "Endpoint to listen at")->required();
  auto* admit =
      sub->add_option("--admit", o->admit, "Public key that may fetch; may be given again")
          ->expected(1)
          ->take_all();
  sub->add_flag("--anyone", o->anyone, "Whoever comes may fetch")->excludes(admit);
  add_key_option(*sub, o->key_file);
  sub->add_option("--clients", o->clients, "Clients at a time")
      ->check(CLI::Range(std::size_t{1}, net::kMaxServerGuests))
      ->capture_default_str();
  add_rate_option(*sub, o->rate_bytes_per_s);
  sub->add_option("--also", o->also, "Endpoint of another holder, for those who are refused")
      ->expected(1)
      ->take_all();
  add_common_options(*sub, o->common);
  sub->callback([&command, o] { command = [o] { return serve(*o); }; });
}

}  // namespace ptrain::ckpt_tool
