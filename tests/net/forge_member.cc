// A holder of a ticket that registers what it likes, and has no session with anybody: what
// tests/net/hostile.bats attacks the members of a run with. Says on standard output what the first
// relay of the ticket answers, and ends when its standard input does.

#include <algorithm>
#include <chrono>
#include <memory>
#include <string>
#include <vector>

#include <CLI/CLI.hpp>
#include <fmt/format.h>
#include <unistd.h>

#include "libcommon/base/boot_clock.h"
#include "libcommon/base/clock.h"
#include "libcommon/cli/json_line.h"
#include "libcommon/cli/program.h"
#include "libcommon/net/relay_link.h"
#include "libcommon/net/ticket.h"
#include "libcommon/net/zmq/zmq_control_link.h"
#include "libcommon/net/zmq/zmq_parts.h"

namespace ptrain {
namespace {

struct Options {
  std::string ticket_file;
  std::string key_file;
  std::string role;
  std::vector<std::string> candidates;
  std::vector<std::string> seeks;
  std::int64_t ahead_s = 0;   // of the clock, in the registration's sequence
  std::int64_t again_ms = 0;  // registers anew so often, each time with a later sequence
  std::string claim;
  std::int64_t hold_ms = 5000;  // of the claim, each time
};

net::MembershipOptions membership(const Options& options, const net::Ticket& ticket,
                                  const net::KeyPair& key, std::int64_t ahead_us) {
  const SigningKey member_key = ticket.secret.member_key();
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  net::PeerRecord record{
      .run_key = ticket.issuer,
      .peer_key = key.public_key(),
      .role = options.role,
      .sequence = static_cast<std::uint64_t>(
          std::chrono::duration_cast<std::chrono::microseconds>(now).count() + ahead_us),
      .candidates = {},
      .grant = ticket.grant};
  for (const std::string& text : options.candidates) {
    record.candidates.push_back(net::parse_endpoint(text));
  }
  net::MembershipOptions membership{.record = net::sign(record, member_key),
                                    .run_key = record.run_key,
                                    .self_key = record.peer_key,
                                    .role = record.role};
  membership.seeks.insert(options.seeks.begin(), options.seeks.end());
  return membership;
}

void say(const net::membership::Event& event) {
  if (const auto* standing = std::get_if<net::membership::Standing>(&event)) {
    cli::print_json_line({{"registered", standing->registered}, {"why", standing->why}});
  } else if (const auto* met = std::get_if<net::membership::Met>(&event)) {
    cli::print_json_line({{"met", met->peer.role}});
  } else if (const auto* claimed = std::get_if<net::membership::Claimed>(&event)) {
    cli::print_json_line({{"claimed", claimed->granted},
                          {"number", claimed->number},
                          {"holder", claimed->holder.role},
                          {"left_s", seconds(claimed->until - boot_now())},
                          {"why", claimed->why}});
  }
  std::fflush(stdout);
}

// False when our standard input has ended.
bool serve(net::RelayLink& link, const Clock& clock, TimePoint until) {
  while (clock.now() < until) {
    for (const auto& event : link.process(clock.now())) say(event);
    const net::PollItem input{.fd = STDIN_FILENO};
    std::vector<net::PollItem> items{input};
    link.add_poll_items(items);
    const TimePoint next = std::min(link.next_tick(), until);
    const auto rest = std::max(next - clock.now(), Duration(std::chrono::milliseconds(1)));
    net::poll(items, std::min<Duration>(rest, std::chrono::seconds(1)));
    if (net::poll({&input, 1}, Duration::zero()) > 0) return false;
  }
  return true;
}

int run(const Options& options) {
  const SteadyClock clock;
  const net::Ticket ticket = net::load_ticket(options.ticket_file);
  const net::KeyPair key = net::load_or_create_key(options.key_file);
  zmq::context_t context;
  for (std::int64_t times = 0;; ++times) {
    net::RelayLink link(
        std::make_unique<net::ZmqControlLink>(
            context, net::ControlLinkOptions{.control = ticket.relays.front().control, .key = key}),
        membership(options, ticket, key, options.ahead_s * 1'000'000 + times));
    if (!options.claim.empty()) {
      link.claim(options.claim, 0, std::chrono::milliseconds(options.hold_ms), clock.now());
    }
    const TimePoint until = options.again_ms == 0
                                ? TimePoint::max()
                                : clock.now() + std::chrono::milliseconds(options.again_ms);
    if (!serve(link, clock, until)) return 0;
  }
}

}  // namespace
}  // namespace ptrain

int main(int argc, char** argv) {
  CLI::App app("Registers with the first relay of a ticket.", "forge_member");
  ptrain::Options options;
  app.add_option("--ticket", options.ticket_file)->required();
  app.add_option("--key", options.key_file)->required();
  app.add_option("--role", options.role)->required();
  app.add_option("--candidate", options.candidates)->expected(1)->take_all();
  app.add_option("--seek", options.seeks)->expected(1)->take_all();
  app.add_option("--ahead-s", options.ahead_s);
  app.add_option("--again-ms", options.again_ms);
  app.add_option("--claim", options.claim);
  app.add_option("--hold-ms", options.hold_ms);
  return ptrain::cli::run_program(app, argc, argv, [&] { return ptrain::run(options); });
}
