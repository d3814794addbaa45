// What the relay does about a request: values in, answers out. The control port reads the one
// and sends the other, and knows nothing of what they mean.
//
// Who asks is the CURVE key of the connection, never a field and never a routing id, so a
// member can act as itself only; it is shown its own runs only. Pure but for the registry and
// the token desk that it is given; the time comes with each call. One thread.

#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "libcommon/base/boot_clock.h"
#include "libcommon/net/relay_protocol.h"
#include "tools/relay/carrier/token_desk.h"
#include "tools/relay/control/access_rules.h"
#include "tools/relay/control/departures.h"
#include "tools/relay/control/rate_limits.h"
#include "tools/relay/control/registry.h"
#include "tools/relay/control/relay_event.h"
#include "tools/relay/control/request_cost.h"
#include "tools/relay/control/survey.h"
#include "tools/relay/delivery.h"

namespace ptrain::relay {

struct Sender {
  net::PublicKey key{};
  ConnectionId connection;
  std::string host;
};

struct Outgoing {
  ConnectionId to;
  net::Answer answer;
  bool operator==(const Outgoing&) const = default;
};

// Counters since the start, for the survey and for metrics.
struct RelayTotals {
  std::uint64_t requests = 0;
  std::uint64_t refusals = 0;
  std::uint64_t ignored = 0;  // requests beyond all limits
  std::uint64_t registrations = 0;
  std::uint64_t introductions = 0;
  std::uint64_t tokens = 0;
  std::uint64_t forwards = 0;  // from neighbours, passed on to members here
};

// What a page of records may weigh: a peer that reads slowly makes the relay hold some.
inline constexpr std::size_t kPageBytes = 24u << 10;
// Both sides of an introduction begin to dial this long after they hear of it: longer than the
// difference between their distances from the relay.
inline constexpr std::uint32_t kIntroductionLeadMs = 300;
// When to ask again for a peer that is registered and not connected at the moment.
inline constexpr std::uint32_t kAbsentRetryMs = 1000;
// How long a neighbour may wait for a change before it is told that there was none.
inline constexpr Duration kMaxMirrorHold = std::chrono::seconds(10);
// Introductions that wait for a neighbour to tell the other side. The asker is told of a failure
// before it takes us for dead.
inline constexpr std::size_t kMaxIntroductionsUnderWay = 1024;
inline constexpr std::size_t kMaxIntroductionsUnderWayOfAddress = 64;
inline constexpr Duration kForwardTimeout = std::chrono::milliseconds(1500);

// Hands a message to a neighbour, for a member of its own; false: it cannot be told now. The
// outcome is forwarded()'s, by that number; 0: nobody waits for it.
using ForwardTo = std::function<bool(const net::PublicKey& neighbour, std::uint64_t number,
                                     const net::request::Forward& message)>;
inline bool no_neighbour(const net::PublicKey&, std::uint64_t, const net::request::Forward&) {
  return false;
}

struct HandlerOptions {
  net::PublicKey relay_key{};  // whoever speaks with it is the operator
  std::function<void(const RelayEvent&)> observer = [](const RelayEvent&) {};
  TrafficOf traffic_of = no_traffic;
  ForwardTo forward_to = no_neighbour;
  std::function<std::vector<NeighbourState>()> neighbours = [] {
    return std::vector<NeighbourState>();
  };
  std::function<net::WallTime()> wall_clock = net::wall_now;
  // Of claims, sleep included.
  std::function<TimePoint()> boot_clock = boot_now;
  std::vector<std::uint16_t> echo_ports{};  // two, or none
};

class RequestHandler {
 public:
  // All references outlive the object; `rules` may change between calls (see enforce()).
  RequestHandler(HandlerOptions options, Registry& registry, TokenDesk& desk,
                 const AccessRules& rules, TimePoint now);

  // Where peers learn their outside address, once that is known.
  void set_echo_ports(std::vector<std::uint16_t> ports) { options_.echo_ports = std::move(ports); }

  std::vector<Outgoing> handle(const Sender& sender, const net::Request& request, TimePoint now);
  // Of bytes that are no request.
  std::vector<Outgoing> malformed(const Sender& sender, const std::string& why, TimePoint now);

  // Leases, and introductions that a neighbour was too slow for.
  std::vector<Outgoing> expire(TimePoint now);
  // For neighbours that wait for a change, when there is one or they have waited long enough.
  std::vector<Outgoing> answer_mirrors(TimePoint now);
  // What neighbours have told of their members, for ours.
  std::vector<Outgoing> propagate(const std::vector<Change>& changes,
                                  const std::vector<Departure>& departures);
  // What has become of what was forwarded.
  std::vector<Outgoing> forwarded(std::uint64_t number, Delivery delivery);
  // Fresh tokens for those that were spent.
  std::vector<Outgoing> replace_spent(TimePoint now);
  // Whom issuers have taken out of their runs, as neighbours tell.
  std::vector<Outgoing> propagate(const std::vector<net::Revocation>& revocations);
  // The rules have changed: members that they do not allow are gone.
  std::vector<Outgoing> enforce();
  std::vector<Outgoing> farewell() const;
  // That connection is no more.
  void gone(const std::set<ConnectionId>& connections) { registry_.forget(connections); }

  // Whose requests with that key are; the operator's are worth as much as a neighbour's.
  Standing standing_of(const net::PublicKey& key) const {
    if (key == options_.relay_key || rules_.is_neighbour(key)) return Standing::neighbour;
    return registry_.knows(key) ? Standing::member : Standing::stranger;
  }

  const RelayTotals& totals() const { return totals_; }

 private:
  using Answers = std::vector<Outgoing>;
  using Body = decltype(net::Answer::body);
  class Visitor;

  // Whether the issuer's word is new here, and what it leads to.
  bool revoke(const net::Revocation& revocation, Answers& answers);
  bool is_operator(const Sender& sender) const { return sender.key == options_.relay_key; }
  Answers refuse(const Sender& sender, std::uint64_t id, net::Refusal reason, std::string text,
                 std::uint32_t retry_ms = 0, std::string remedy = "");
  // Of a peer that is registered. `cut_off`: its connection was seen to end.
  Answers refuse_unconnected(const Sender& sender, std::uint64_t id, bool cut_off);
  // Of a registration here.
  void announce(const Departure& departure, RelayEvent::Kind why, Answers& answers);
  // What it means to the others, and to the data port.
  void announce(const Departure& departure, Answers& answers);
  void announce(const Change& change, Answers& answers) const;
  bool can_forward(const VerifyKey& run_key, const net::Place& to, const Sender& asker) const;
  std::string source_of(const VerifyKey& run_key, const net::Place& who) const;
  // To the first neighbour of those that can be told.
  bool forward(const VerifyKey& run_key, const net::Place& to, std::uint64_t number,
               const net::request::Forward& message);
  void push_to_watchers(const VerifyKey& run_key, const net::Place& except, const Body& body,
                        Answers& answers) const;

  // A neighbour that waits for what changes.
  struct Held {
    ConnectionId connection;
    std::uint64_t id = 0;
    net::request::Mirror asked;
    TimePoint until;
  };
  // An introduction of which the other side is told by a neighbour.
  struct UnderWay {
    Sender asker;
    std::uint64_t id = 0;
    net::answer::Introduced to_asker;
    RelayEvent event;
    TimePoint until;
  };

  HandlerOptions options_;
  Registry& registry_;
  TokenDesk& desk_;
  const AccessRules& rules_;
  RateLimits limits_;
  RelayTotals totals_;
  Departures departures_;
  std::map<net::PublicKey, Held> held_;
  std::map<std::uint64_t, UnderWay> under_way_;  // by number, and so in the order of time
  std::uint64_t last_number_ = 0;
};

}  // namespace ptrain::relay
