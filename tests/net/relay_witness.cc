// One member, or one that would be, checks what a relay that is a process of its own does about it.
// The first argument says what; the relay's word comes next, and then NAME=VALUE. Prints one JSON
// object.
//
//   lose    of a member's connection the first word of a change is lost, and no other change
//   follows;
//           says whether it meets who came all the same, and after how long
//   expiry  says what becomes of a ticket whose date is over, of a date that a holder wrote itself,
//   and
//           of a member whose ticket ends while it is there
//   foreign says how a request of the protocol version `version` is refused

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <variant>
#include <vector>

#include <capnp/message.h>
#include <capnp/serialize.h>
#include <fmt/format.h>
#include <zmq.hpp>

#include "libcommon/base/clock.h"
#include "libcommon/net/relay_link.h"
#include "libcommon/net/wall_time.h"
#include "libcommon/net/zmq/zmq_control_link.h"
#include "libcommon/net/zmq/zmq_parts.h"
#include "schemas/relay.capnp.h"
#include "tests/net/relay_arguments.h"
#include "tests/unit/relay/relay_client.h"

namespace {

using namespace ptrain;
using namespace std::chrono_literals;
using relay::Arguments;
using relay::RelayClient;
using relay::run_of;
using relay::TestRun;
namespace request = net::request;
namespace answer = net::answer;

// ---- A lost change.

// Loses the first word of a change.
class LossyLink final : public net::ControlLink {
 public:
  LossyLink(std::unique_ptr<net::ControlLink> link, int& lost)
      : link_(std::move(link)), lost_(lost) {}

  void add_poll_items(std::vector<net::PollItem>& items) override { link_->add_poll_items(items); }
  std::vector<net::Answer> process(TimePoint now) override {
    std::vector<net::Answer> answers;
    for (net::Answer& each : link_->process(now)) {
      if (lost_ == 0 && std::holds_alternative<answer::Appeared>(each.body)) {
        ++lost_;
      } else {
        answers.push_back(std::move(each));
      }
    }
    return answers;
  }
  TimePoint next_tick() const override { return link_->next_tick(); }
  void send(const net::Request& request) override { link_->send(request); }
  void hang_up(TimePoint now, std::string why) override { link_->hang_up(now, std::move(why)); }
  bool connected() const override { return link_->connected(); }
  const std::string& trouble() const override { return link_->trouble(); }
  bool refuses_our_key() const override { return link_->refuses_our_key(); }

 private:
  std::unique_ptr<net::ControlLink> link_;
  int& lost_;
};

int lose(const Arguments& arguments) {
  const SteadyClock clock;
  const TestRun run = run_of(11);
  const net::KeyPair key = net::KeyPair::generate();
  zmq::context_t context;
  int lost = 0;
  net::RelayLink link(
      std::make_unique<LossyLink>(
          std::make_unique<net::ZmqControlLink>(
              context, net::ControlLinkOptions{.control = arguments.relay.control, .key = key}),
          lost),
      {.record = run.record(key.public_key(), "early"),
       .run_key = run.key(),
       .self_key = key.public_key(),
       .role = "early",
       .seeks = {"late"}});
  bool met = false;
  // Until it has met somebody, or that time is over.
  const auto live = [&](TimePoint until) {
    while (!met && clock.now() < until) {
      for (const auto& event : link.process(clock.now())) {
        met = met || std::holds_alternative<net::membership::Met>(event);
      }
      std::vector<net::PollItem> items;
      link.add_poll_items(items);
      net::poll(items, std::chrono::milliseconds(20));
    }
  };
  // It has registered, watches, and has looked up that nobody is there.
  live(clock.now() + 2s);
  RelayClient late(arguments.relay.control);
  late.join(run, "late");
  const TimePoint came = clock.now();
  live(came + std::chrono::seconds(arguments.number("patience", 15)));
  relay::stay(arguments, {{"lost", lost}, {"met", met}, {"s", seconds(clock.now() - came)}});
  return lost == 1 && met ? 0 : 1;
}

// ---- Expiry.

std::string name_of(const net::Answer& told) {
  const auto* refused = std::get_if<answer::Refused>(&told.body);
  return refused == nullptr ? "granted" : std::string(net::name_of(refused->reason));
}

int expiry(const Arguments& arguments) {
  const TestRun run = run_of(12);
  RelayClient late(arguments.relay.control);
  RelayClient member(arguments.relay.control);
  const auto with = [&](const RelayClient& client, net::Grant grant, std::uint64_t sequence) {
    net::PeerRecord record = run.opened(client.key(), "a", sequence);
    record.grant = std::move(grant);
    return request::Register{run.signed_by_members(record)};
  };
  const net::WallTime now = net::wall_now();
  const std::string past = name_of(late.ask(with(late, run.granted_until(now - 1s), 1)));
  net::Grant own = run.granted_until(now - 1s);
  own.expires += std::chrono::hours(24 * 365);
  const std::string forged = name_of(late.ask(with(late, own, 2)));
  const net::WallTime soon = now + 5s;
  std::string living = name_of(member.ask(with(member, run.granted_until(soon), 1)));
  while (net::wall_now() < soon + 2s && living == "granted") {
    std::this_thread::sleep_for(500ms);
    living = name_of(member.ask(request::Renew{run.as("a")}));
  }
  const std::string changed = name_of(member.ask(with(member, run.granted_until(soon), 2)));
  member.ask(request::Leave{run.as("a")});
  const std::string again = name_of(member.ask(with(member, run.granted_until(soon), 3)));
  relay::stay(arguments, {{"past", past},
                          {"forged", forged},
                          {"living", living},
                          {"changed", changed},
                          {"again", again}});
  return 0;
}

// ---- Other versions.

int foreign(const Arguments& arguments) {
  RelayClient client(arguments.relay.control);
  auto bytes = net::encode({.id = 77, .body = request::Renew{run_of(13).as("a")}});
  // After the word that says how long the message is, and the pointer to the struct.
  constexpr std::size_t kVersionAt = 16 + 4;
  bytes.at(kVersionAt) = static_cast<std::byte>(arguments.number("version", 1));
  client.send_parts({bytes});
  client.socket.set(zmq::sockopt::rcvtimeo, 20000);
  zmq::message_t message;
  if (!client.socket.recv(message)) {
    relay::stay(arguments, {{"refused", false}});
    return 1;
  }
  std::vector<capnp::word> words(message.size() / sizeof(capnp::word));
  std::memcpy(words.data(), message.data(), words.size() * sizeof(capnp::word));
  capnp::FlatArrayMessageReader reader(kj::arrayPtr(words.data(), words.size()));
  const auto told = reader.getRoot<schema::Answer>();
  const bool refused = told.which() == schema::Answer::REFUSED;
  relay::stay(arguments, {{"refused", refused},
                          {"version", told.getVersion()},
                          {"id", told.getId()},
                          {"text", refused ? told.getRefused().getText().cStr() : ""}});
  return refused ? 0 : 1;
}

}  // namespace

int main(int argc, char** argv) {
  return relay::run_action({{"lose", lose}, {"expiry", expiry}, {"foreign", foreign}}, argc, argv);
}
