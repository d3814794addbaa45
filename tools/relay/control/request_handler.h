// What the relay does about a request: values in, answers out. The control port reads the one
// and sends the other, and knows nothing of what they mean.
//
// Who asks is the CURVE key of the connection, never a field and never a routing id, so a
// member can act as itself only; it is shown its own runs only. Pure but for the registry and
// the token desk that it is given; the time comes with each call. One thread.

#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "libcommon/net/relay_protocol.h"
#include "tools/relay/carrier/token_desk.h"
#include "tools/relay/control/access_rules.h"
#include "tools/relay/control/rate_limits.h"
#include "tools/relay/control/registry.h"
#include "tools/relay/control/survey.h"

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

// What an operator may want to know of, as it happens.
struct RelayEvent {
  enum class Kind { registered, left, expired, revoked, introduced, refused };
  Kind kind;
  VerifyKey run_key{};
  net::Place who;
  net::Place other{};         // introduced
  std::string host{};         // registered, refused
  std::string_view reason{};  // refused

  RelayEvent(Kind what, const VerifyKey& run, net::Place whom)
      : kind(what), run_key(run), who(std::move(whom)) {}
};
std::string_view name_of(RelayEvent::Kind kind);

// Counters since the start, for the survey and for metrics.
struct RelayTotals {
  std::uint64_t requests = 0;
  std::uint64_t refusals = 0;
  std::uint64_t ignored = 0;  // requests beyond all limits
  std::uint64_t registrations = 0;
  std::uint64_t introductions = 0;
  std::uint64_t tokens = 0;
};

// What a page of records may weigh: a peer that reads slowly makes the relay hold some.
inline constexpr std::size_t kPageBytes = 24u << 10;
// Both sides of an introduction begin to dial this long after they hear of it: longer than the
// difference between their distances from the relay.
inline constexpr std::uint32_t kIntroductionLeadMs = 300;
// When to ask again for a peer that is registered and not connected at the moment.
inline constexpr std::uint32_t kAbsentRetryMs = 1000;
// What requests cost (rate_limits.h): one that checks a signature, or writes to another peer,
// takes more.
inline constexpr double kCheapCost = 1;
inline constexpr double kRegisterCost = 5;
inline constexpr double kIntroduceCost = 5;
inline constexpr double kLookUpCost = 3;

struct HandlerOptions {
  net::PublicKey relay_key{};  // whoever speaks with it is the operator
  std::function<void(const RelayEvent&)> observer = [](const RelayEvent&) {};
  TrafficOf traffic_of = no_traffic;
};

class RequestHandler {
 public:
  // All references outlive the object; `rules` may change between calls (see enforce()).
  RequestHandler(HandlerOptions options, Registry& registry, TokenDesk& desk,
                 const AccessRules& rules, TimePoint now);

  std::vector<Outgoing> handle(const Sender& sender, const net::Request& request, TimePoint now);
  // Of bytes that are no request.
  std::vector<Outgoing> malformed(const Sender& sender, const std::string& why, TimePoint now);

  std::vector<Outgoing> expire(TimePoint now);
  // Fresh tokens for those that were spent.
  std::vector<Outgoing> replace_spent(TimePoint now);
  // The rules have changed: members that they do not allow are gone.
  std::vector<Outgoing> enforce();
  std::vector<Outgoing> farewell() const;
  // That connection is no more.
  void gone(const ConnectionId& connection) { registry_.forget(connection); }

  // Whether requests with that key are worth a connection: a member's, or the operator's.
  bool is_useful(const net::PublicKey& key) const {
    return registry_.knows(key) || key == options_.relay_key;
  }

  const RelayTotals& totals() const { return totals_; }

 private:
  using Answers = std::vector<Outgoing>;
  using Body = decltype(net::Answer::body);
  class Visitor;

  bool is_operator(const Sender& sender) const { return sender.key == options_.relay_key; }
  Answers refuse(const Sender& sender, std::uint64_t id, net::Refusal reason, std::string text,
                 std::uint32_t retry_ms = 0);
  // What `departure` means to the others, and to the data port.
  void announce(const Departure& departure, RelayEvent::Kind why, Answers& answers);
  void push_to_watchers(const VerifyKey& run_key, const net::Place& except, const Body& body,
                        Answers& answers) const;

  HandlerOptions options_;
  Registry& registry_;
  TokenDesk& desk_;
  const AccessRules& rules_;
  RateLimits limits_;
  RelayTotals totals_;
};

}  // namespace ptrain::relay
