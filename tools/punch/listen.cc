// ptrain-punch listen: be found by members of a run, and say by which path each of them comes.

#include <chrono>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <variant>

#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include "libcommon/base/error.h"
#include "libcommon/base/log.h"
#include "libcommon/cli/event_output.h"
#include "libcommon/cli/json_line.h"
#include "libcommon/net/guest_admission.h"
#include "libcommon/net/keys.h"
#include "libcommon/os/stop_signal.h"
#include "tools/punch/commands.h"
#include "tools/punch/meeting_options.h"

namespace ptrain::punch {
namespace {

constexpr std::size_t kMostDialers = 32;
constexpr Duration kPathLook = std::chrono::milliseconds(100);
constexpr Duration kListenGoodbye = std::chrono::seconds(2);

struct ListenOptions {
  MeetingOptions meeting;
  std::string name;    // empty: after the key
  std::string listen;  // an endpoint; empty: nobody can dial us by himself
};

// Each guest, and the path that was last told of.
class GuestBook {
 public:
  GuestBook(bool json, cli::EventOutput& output, Log& log)
      : json_(json), output_(output), log_(log) {}

  void take(const net::NodeEvent& event) {
    if (const auto* up = std::get_if<net::Up>(&event)) paths_.try_emplace(up->peer);
    if (const auto* down = std::get_if<net::Down>(&event)) paths_.erase(down->peer);
  }
  void look(const net::Node& node) {
    for (auto& [peer, told] : paths_) {
      const net::Traffic traffic = node.traffic(peer);
      if (!traffic.route || traffic.path == told) continue;
      told = traffic.path;
      tell(peer, traffic);
    }
  }

 private:
  void tell(const net::WorkerId& peer, const net::Traffic& traffic) {
    const std::string kind(net::name_of(traffic.route->kind));
    if (json_) {
      return output_.event(
          {{"kind", "path"}, {"peer", peer.name}, {"route", kind}, {"endpoint", traffic.path}});
    }
    log_.info(
        fmt::format("{} is reached at {}, {} ({})", peer.name, traffic.path, kind, traffic.why));
  }

  bool json_;
  cli::EventOutput& output_;
  Log& log_;
  std::map<net::WorkerId, std::string> paths_;
};

std::string name_among_members(const ListenOptions& options, const net::KeyPair& key) {
  if (options.name.empty()) return name_of(key.public_key());
  if (is_name(options.name)) return options.name;
  throw Error(ErrorKind::usage,
              fmt::format("--name {}: expected 1 to {} small letters, digits and -", options.name,
                          kMaxNameChars));
}

int listen(const ListenOptions& options) {
  const os::StopSignal stop("ptrain-punch");
  const SteadyClock clock;
  StderrLog log("ptrain-punch");
  cli::EventOutput output(log);
  const net::KeyPair key = net::host_key(options.meeting.key_file);
  const std::string name = name_among_members(options, key);
  net::NodeOptions node_options{.introduction = introduction(),
                                .self = kListenerPlace,
                                .counterpart = kDialerPlace,
                                .key = key};
  if (!options.listen.empty()) node_options.listen = net::parse_endpoint(options.listen);
  net::Node node(std::move(node_options),
                 std::make_unique<net::GuestAdmission>(
                     net::GuestRules{.introduction = introduction(),
                                     .place = kDialerPlace,
                                     .admitted = std::set<net::PublicKey>{},
                                     .max_guests = kMostDialers,
                                     .busy_answer = "; try again later",
                                     .member_roles = std::string(kDialerRoles)}),
                 log, clock);
  node.start();
  node.meet(meeting_of(options.meeting), std::string(kListenerRoles) + name);
  output.ready(options.meeting.json ? cli::json_line({{"kind", "listening"}, {"name", name}})
                                    : name);
  GuestBook guests(options.meeting.json, output, log);
  while (!stop.requested()) {
    if (auto event = node.next(kPathLook)) guests.take(*event);
    guests.look(node);
  }
  node.close(kListenGoodbye);
  return 128 + stop.signal_number();
}

}  // namespace

void add_listen(CLI::App& app, Command& command, const Words&) {
  CLI::App* sub = app.add_subcommand("listen", "Be found by ptrain-punch dial");
  sub->footer("Example:\n  ptrain-punch listen --ticket alice.ticket --name nora");
  auto o = std::make_shared<ListenOptions>();
  sub->add_option("--name", o->name, "What it is called in the run, instead of by its key");
  sub->add_option("--listen", o->listen, "Also listen at this endpoint, for who can dial it");
  add_meeting_options(*sub, o->meeting);
  sub->callback([&command, o] { command = [o] { return listen(*o); }; });
}

}  // namespace ptrain::punch
