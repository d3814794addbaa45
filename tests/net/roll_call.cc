// A member of a run that has business with nobody, and says on standard output, a JSON object a
// line, whom its node has seen come and go. Ends when its standard input does.

#include <chrono>
#include <memory>
#include <string>
#include <utility>

#include <CLI/CLI.hpp>
#include <unistd.h>

#include "libcommon/base/clock.h"
#include "libcommon/base/log.h"
#include "libcommon/cli/json_line.h"
#include "libcommon/cli/program.h"
#include "libcommon/net/guest_admission.h"
#include "libcommon/net/node.h"
#include "libcommon/net/zmq/zmq_parts.h"

namespace ptrain {
namespace {

struct Options {
  std::string ticket_file;
  std::string key_file;
  std::string role;
};

void say(const char* what, const net::WorkerId& member) {
  cli::print_json_line({{what, member.name}, {"key", net::to_hex(member.key.value())}});
  std::fflush(stdout);
}

int run(const Options& options) {
  const SteadyClock clock;
  StderrLog log("roll_call");
  net::NodeOptions node_options;
  node_options.key = net::load_or_create_key(options.key_file);
  net::GuestRules rules;
  rules.member_roles = "nobody-";
  net::Node node(node_options, std::make_unique<net::GuestAdmission>(std::move(rules)), log, clock);
  node.meet({.ticket = net::load_ticket(options.ticket_file), .direct = false}, options.role);
  node.start();
  const net::PollItem input{.fd = STDIN_FILENO};
  while (net::poll({&input, 1}, Duration::zero()) == 0) {
    const auto event = node.next(std::chrono::milliseconds(200));
    if (!event) continue;
    if (const auto* seen = std::get_if<net::Seen>(&*event)) say("seen", seen->member);
    if (const auto* gone = std::get_if<net::Gone>(&*event)) say("gone", gone->member);
  }
  return 0;
}

}  // namespace
}  // namespace ptrain

int main(int argc, char** argv) {
  CLI::App app("Says who is registered with the relays of a ticket.", "roll_call");
  ptrain::Options options;
  app.add_option("--ticket", options.ticket_file)->required();
  app.add_option("--key", options.key_file)->required();
  app.add_option("--role", options.role)->required();
  return ptrain::cli::run_program(app, argc, argv, [&] { return ptrain::run(options); });
}
