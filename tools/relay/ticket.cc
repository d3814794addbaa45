// ptrain-relay ticket new, show, renew, revoke: job tickets, and what their maker can do about them
// later.

#include "libcommon/net/ticket.h"

#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include "libcommon/base/error.h"
#include "libcommon/base/random_source.h"
#include "libcommon/cli/exit_code.h"
#include "libcommon/cli/json_line.h"
#include "libcommon/cli/output.h"
#include "libcommon/net/issuer.h"
#include "libcommon/net/keys.h"
#include "libcommon/net/peer_id.h"
#include "libcommon/net/relay_word.h"
#include "tools/relay/commands.h"
#include "tools/relay/expiry.h"
#include "tools/relay/inquiry.h"

namespace ptrain::relay {
namespace {

struct TicketOptions {
  std::string run;
  std::vector<std::string> relays;
  std::string expires = "30d";
  std::string file;
  std::string out;
  std::string issuer;  // empty: beside the ticket
  std::string peer_key;
  bool json = false;
};

// Beside the ticket, so that whoever makes it keeps both, and hands out one of them.
std::string issuer_file(const TicketOptions& options, const std::string& ticket) {
  return options.issuer.empty() ? ticket + ".issuer" : options.issuer;
}

// The run's, or Error(permission).
SigningKey load_issuer(const TicketOptions& options, const net::Ticket& ticket) {
  const std::string file = issuer_file(options, options.file);
  SigningKey key = net::IssuerSecret::load(file).key();
  if (key.verify_key() != ticket.issuer) {
    throw Error(ErrorKind::permission,
                fmt::format("{} is the issuer of run {}, and the ticket is of run {}", file,
                            net::RunId(key.verify_key()).to_string(), ticket.run_id().to_string()),
                "--issuer names the file that ticket new wrote for this run");
  }
  return key;
}

// Why that relay has not taken it, if it has not.
std::optional<Error> tell(const net::Endpoint& relay, const net::KeyPair& key,
                          const net::Revocation& revocation) {
  try {
    const net::Answer answer = Inquiry(relay, key).ask(net::request::Revoke{revocation});
    if (std::holds_alternative<net::answer::Revoked>(answer.body)) return std::nullopt;
    const auto* refused = std::get_if<net::answer::Refused>(&answer.body);
    return Error(ErrorKind::unavailable,
                 fmt::format("{}: {}", zmq_address(relay),
                             refused != nullptr ? refused->text : "an answer of another kind"));
  } catch (const Error& error) {
    if (error.kind() != ErrorKind::unavailable && error.kind() != ErrorKind::permission) throw;
    return error;
  }
}

void print(const net::Ticket& ticket, bool as_json) {
  const std::string id = ticket.run_id().to_string();
  const bool expired = ticket.expired(net::wall_now());
  if (as_json) {
    nlohmann::ordered_json relays = nlohmann::ordered_json::array();
    for (const auto& relay : ticket.relays) relays.push_back(to_word(relay));
    return cli::print_json_line({{"kind", "ticket"},
                                 {"run", ticket.run},
                                 {"run_id", id},
                                 {"expires", net::to_string(ticket.grant.expires)},
                                 {"expired", expired},
                                 {"relays", relays}});
  }
  cli::print("run      {}\nrun id   {}\nexpires  {}{}\n", ticket.run, id,
             net::to_string(ticket.grant.expires), expired ? " (it has expired)" : "");
  for (const auto& relay : ticket.relays) cli::print("relay    {}\n", to_word(relay));
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
  const auto secret = net::JobSecret::generate(random);
  const auto issuer = net::IssuerSecret::generate(random);
  const SigningKey issuer_key = issuer.key();
  net::Ticket ticket{.run = options.run,
                     .relays = {},
                     .issuer = issuer_key.verify_key(),
                     .grant = net::make_grant(issuer_key, secret.member_key().verify_key(),
                                              parse_expiry(options.expires, net::wall_now())),
                     .secret = secret};
  for (const std::string& word : options.relays)
    ticket.relays.push_back(net::parse_relay_word(word));
  save_ticket(ticket, options.out);
  try {
    issuer.save(issuer_file(options, options.out));
  } catch (const Error&) {
    // A ticket that nobody can renew is not what was asked for.
    std::filesystem::remove(options.out);
    throw;
  }
  print(ticket, options.json);
  return cli::kDone;
}

int renew(const TicketOptions& options) {
  net::Ticket ticket = net::load_ticket(options.file);
  ticket.grant = net::make_grant(load_issuer(options, ticket), ticket.grant.member_key,
                                 parse_expiry(options.expires, net::wall_now()));
  save_ticket(ticket, options.out);
  print(ticket, options.json);
  return cli::kDone;
}

// Where every relay that failed refuses our key, that is what can be mended.
Error incomplete(const std::vector<Error>& failures, std::size_t relays) {
  std::string reasons;
  bool refused = true;
  for (const Error& failure : failures) {
    reasons += fmt::format("{}{}", reasons.empty() ? "" : "; ", failure.what());
    refused = refused && failure.kind() == ErrorKind::permission;
  }
  return Error(
      refused ? ErrorKind::permission : ErrorKind::unavailable,
      fmt::format("{} of {} relays have taken it: {}", relays - failures.size(), relays, reasons),
      refused ? failures.front().hint()
              : "neighbours of those tell each other; for the others, do it again");
}

// Which relays have taken it. One that was not there is told by its neighbours, or by doing this
// again.
int revoke(const TicketOptions& options) {
  const net::Ticket ticket = net::load_ticket(options.file);
  const auto peer = net::parse_public_key(options.peer_key);
  if (!peer) {
    throw Error(ErrorKind::usage,
                fmt::format("'{}' is no public key of 64 hexadecimal digits", options.peer_key),
                "ptrain-stage identity prints it on the host that is to leave");
  }
  const auto revocation = net::make_revocation(load_issuer(options, ticket), *peer);
  const auto key = net::host_key({});
  std::vector<Error> failures;
  for (const net::TicketRelay& relay : ticket.relays) {
    const auto failure = tell(relay.control, key, revocation);
    if (options.json) {
      nlohmann::ordered_json line{
          {"kind", "revocation"}, {"relay", zmq_address(relay.control)}, {"taken", !failure}};
      if (failure) line["why"] = failure->what();
      cli::print_json_line(line);
    } else if (!failure) {
      cli::print("{} is taken out of run {} at {}\n", net::PeerId(*peer).to_string(), ticket.run,
                 zmq_address(relay.control));
    }
    if (failure) failures.push_back(*failure);
  }
  if (!failures.empty()) throw incomplete(failures, ticket.relays.size());
  return cli::kDone;
}

int show(const TicketOptions& options) {
  print(net::load_ticket(options.file), options.json);
  return cli::kDone;
}

}  // namespace

void add_ticket(CLI::App& app, Command& command) {
  CLI::App* ticket =
      app.add_subcommand("ticket", "Make a job ticket, show or renew it, or take a member out");
  ticket->require_subcommand(1);
  ticket->footer(
      "Example:\n"
      "  ptrain-relay ticket new --run alice --relay WORD --expires 30d -o alice.ticket --json\n"
      "  ptrain-relay ticket show alice.ticket --json\n"
      "  ptrain-relay ticket renew alice.ticket --expires 30d -o alice-2.ticket --issuer FILE\n"
      "  ptrain-relay ticket revoke alice.ticket KEY --issuer FILE\n"
      "where WORD is what ptrain-relay serve prints: tcp://HOST:PORT#KEY,data=PORT; new takes\n"
      "--relay several times, and -o is short for --out.");
  auto o = std::make_shared<TicketOptions>();
  CLI::App* fresh = ticket->add_subcommand("new", "Make the ticket of a new run");
  fresh->footer(
      "Example:\n"
      "  ptrain-relay ticket new --run alice --relay WORD --expires 30d -o alice.ticket\n"
      "where WORD is what ptrain-relay serve prints: tcp://HOST:PORT#KEY,data=PORT.");
  fresh->add_option("--run", o->run, "Name of the run")->required();
  fresh->add_option("--relay", o->relays, "A relay, as its serve prints it; may be given again")
      ->required()
      ->expected(1)
      ->take_all();
  fresh
      ->add_option("--expires", o->expires, "When the ticket ends: 30d, 12h, 2027-01-31, or a time")
      ->capture_default_str();
  fresh->add_option("-o,--out", o->out, "File to make; there must be none yet")->required();
  fresh->add_option("--issuer", o->issuer,
                    "File to make for the issuer key; the ticket's name and .issuer by default");
  fresh->add_flag("--json", o->json, "Print JSON");
  fresh->callback([&command, o] { command = [o] { return make(*o); }; });
  CLI::App* shown = ticket->add_subcommand("show", "Print what is not secret");
  shown->footer("Example:\n  ptrain-relay ticket show alice.ticket");
  shown->add_option("FILE", o->file, "The ticket")->required();
  shown->add_flag("--json", o->json, "Print JSON");
  shown->callback([&command, o] { command = [o] { return show(*o); }; });
  const auto add_common = [o](CLI::App* sub) {
    sub->add_option("FILE", o->file, "The ticket")->required();
    sub->add_option("--issuer", o->issuer,
                    "The issuer key of its run; the ticket's name and .issuer by default");
    sub->add_flag("--json", o->json, "Print JSON");
  };
  CLI::App* renewed = ticket->add_subcommand("renew", "Sign a later date for the same run");
  renewed->footer(
      "Example:\n"
      "  ptrain-relay ticket renew alice.ticket --expires 90d -o later.ticket");
  add_common(renewed);
  renewed
      ->add_option("--expires", o->expires,
                   "When the new ticket ends: 30d, 12h, 2027-01-31, or a time")
      ->capture_default_str();
  renewed->add_option("-o,--out", o->out, "File to make; there must be none yet")->required();
  renewed->callback([&command, o] { command = [o] { return renew(*o); }; });
  CLI::App* revoked = ticket->add_subcommand("revoke", "Take a host out of the run");
  revoked->footer(
      "Example:\n"
      "  ptrain-relay ticket revoke alice.ticket KEY\n"
      "where KEY is what ptrain-stage identity prints on the host that is to leave.");
  add_common(revoked);
  revoked->add_option("KEY", o->peer_key, "Its public key")->required();
  revoked->callback([&command, o] { command = [o] { return revoke(*o); }; });
}

}  // namespace ptrain::relay
