// ptrain-relay ticket new, ticket show: makes job tickets, and prints what is not secret in one.

#include "libcommon/net/ticket.h"

#include <memory>
#include <string>
#include <vector>

#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include "libcommon/base/error.h"
#include "libcommon/base/random_source.h"
#include "libcommon/cli/exit_code.h"
#include "libcommon/cli/json_line.h"
#include "libcommon/net/peer_id.h"
#include "libcommon/net/relay_word.h"
#include "tools/relay/commands.h"
#include "tools/relay/expiry.h"

namespace ptrain::relay {
namespace {

struct TicketOptions {
  std::string run;
  std::vector<std::string> relays;
  std::string expires = "30d";
  std::string file;
  bool json = false;
};

net::WallTime wall_now() {
  return std::chrono::floor<std::chrono::seconds>(std::chrono::system_clock::now());
}

void print(const net::Ticket& ticket, bool as_json) {
  const std::string id = net::RunId(ticket.secret.run_key().verify_key()).to_string();
  const bool expired = ticket.expired(wall_now());
  if (as_json) {
    nlohmann::ordered_json relays = nlohmann::ordered_json::array();
    for (const auto& relay : ticket.relays) relays.push_back(to_word(relay));
    return cli::print_json_line({{"kind", "ticket"},
                                 {"run", ticket.run},
                                 {"run_id", id},
                                 {"expires", net::to_string(ticket.expires)},
                                 {"expired", expired},
                                 {"relays", relays}});
  }
  fmt::print("run      {}\nrun id   {}\nexpires  {}{}\n", ticket.run, id,
             net::to_string(ticket.expires), expired ? " (it has expired)" : "");
  for (const auto& relay : ticket.relays) fmt::print("relay    {}\n", to_word(relay));
}

int make(const TicketOptions& options) {
  if (!net::is_run_name(options.run)) {
    throw Error(ErrorKind::usage,
                fmt::format("'{}' is no name of a run: 1 to {} letters, digits, '.', '_' and '-', "
                            "beginning with none of the last three",
                            options.run, net::kMaxRunNameChars));
  }
  if (options.relays.size() > net::kMaxTicketRelays) {
    throw Error(ErrorKind::usage, fmt::format("{} relays, at most {} allowed",
                                              options.relays.size(), net::kMaxTicketRelays));
  }
  SystemRandom random;
  net::Ticket ticket{.run = options.run,
                     .relays = {},
                     .expires = parse_expiry(options.expires, wall_now()),
                     .secret = net::JobSecret::generate(random)};
  for (const std::string& word : options.relays)
    ticket.relays.push_back(net::parse_relay_word(word));
  save_ticket(ticket, options.file);
  print(ticket, options.json);
  return cli::kDone;
}

int show(const TicketOptions& options) {
  print(net::load_ticket(options.file), options.json);
  return cli::kDone;
}

}  // namespace

void add_ticket(CLI::App& app, Command& command) {
  CLI::App* ticket = app.add_subcommand("ticket", "Make a job ticket, or show what it says");
  ticket->require_subcommand(1);
  ticket->footer(
      "Example:\n"
      "  ptrain-relay ticket new --run alice --relay WORD --expires 30d -o alice.ticket --json\n"
      "  ptrain-relay ticket show alice.ticket --json\n"
      "where WORD is what ptrain-relay serve prints: tcp://HOST:PORT#KEY,data=PORT; new takes\n"
      "--relay several times, and -o is short for --out.");
  auto o = std::make_shared<TicketOptions>();
  CLI::App* fresh = ticket->add_subcommand("new", "Make the ticket of a new run");
  fresh->add_option("--run", o->run, "Name of the run")->required();
  fresh->add_option("--relay", o->relays, "A relay, as its serve prints it; may be given again")
      ->required()
      ->expected(1)
      ->take_all();
  fresh->add_option("--expires", o->expires, "When the ticket ends: 30d, 12h, or a time")
      ->capture_default_str();
  fresh->add_option("-o,--out", o->file, "File to make; there must be none yet")->required();
  fresh->add_flag("--json", o->json, "Print JSON");
  fresh->callback([&command, o] { command = [o] { return make(*o); }; });
  CLI::App* shown = ticket->add_subcommand("show", "Print what is not secret");
  shown->add_option("FILE", o->file, "The ticket")->required();
  shown->add_flag("--json", o->json, "Print JSON");
  shown->callback([&command, o] { command = [o] { return show(*o); }; });
}

}  // namespace ptrain::relay
