#include "tools/relay/control/request_handler.h"

#include <algorithm>
#include <iterator>
#include <utility>

#include <fmt/format.h>

#include "libcommon/net/relay_codec.h"
#include "tools/relay/control/quota_address.h"
#include "tools/relay/control/survey.h"

namespace ptrain::relay {
namespace {

namespace request = net::request;
namespace answer = net::answer;

// The run and role as which a request is made; the operator's are made as none.
struct ClaimOf {
  net::Membership operator()(const request::Register&) const { return {}; }
  net::Membership operator()(const request::Survey&) const { return {}; }
  net::Membership operator()(const request::Mirror&) const { return {}; }
  net::Membership operator()(const request::Forward&) const { return {}; }
  net::Membership operator()(const request::Revoke&) const { return {}; }
  net::Membership operator()(const auto& body) const { return body.as; }
};

std::uint32_t whole_ms(Duration duration) {
  return static_cast<std::uint32_t>(std::chrono::ceil<std::chrono::milliseconds>(duration).count());
}

std::string shortened(std::string text, std::size_t limit) {
  if (text.size() > limit) text.resize(limit);
  return text;
}

constexpr const char* kFarAway = "that peer is at a neighbour relay, and cannot be told now";

Seat seat_of(const VerifyKey& run_key, const net::Place& owner, const net::Place& other,
             std::uint8_t path) {
  const bool low = owner < other;
  return {.pairing = {.run_key = run_key,
                      .low = low ? owner : other,
                      .high = low ? other : owner,
                      .path = path},
          .side = low ? Side::low : Side::high};
}

}  // namespace

// One request of one sender.
class RequestHandler::Visitor {
 public:
  Visitor(RequestHandler& handler, const Sender& sender, std::uint64_t id, TimePoint now)
      : handler_(handler), registry_(handler.registry_), sender_(sender), id_(id), now_(now) {}

  Answers operator()(const request::Register& body) {
    auto opened = net::open(body.record);
    if (const auto* flaw = std::get_if<wire::Malformed>(&opened)) {
      return refuse(net::Refusal::forged, flaw->why);
    }
    const auto& record = std::get<net::PeerRecord>(opened);
    if (record.peer_key != sender_.key) {
      return refuse(net::Refusal::forged, "the record is another peer's");
    }
    if (!handler_.rules_.allows_run(record.run_key)) return refuse_run(record.run_key);
    const net::Place who{.peer_key = record.peer_key, .role = record.role};
    // Expiry bars who comes. Who is here already, and only says something else, stays.
    if (record.grant.expired(handler_.options_.wall_clock()) &&
        registry_.find(record.run_key, who) == nullptr) {
      return refuse(net::Refusal::expired,
                    fmt::format("the ticket expired at {}: its maker can sign a later one "
                                "(ptrain-relay ticket renew)",
                                net::to_string(record.grant.expires)));
    }
    const auto result =
        registry_.enrol(record, body.record, sender_.connection, sender_.host, now_);
    if (const auto* refusal = std::get_if<net::Refusal>(&result)) {
      if (*refusal == net::Refusal::revoked) {
        return refuse(*refusal,
                      fmt::format("the run's issuer has taken the host with key {} out of the run",
                                  net::to_hex(sender_.key)));
      }
      if (*refusal == net::Refusal::outdated) {
        return refuse(*refusal, "a newer registration holds that role of that key");
      }
      return refuse(*refusal, "no room for another registration", whole_ms(lease()));
    }
    const auto& enrolment = std::get<Enrolment>(result);
    ++handler_.totals_.registrations;
    handler_.departures_.came_back({record.run_key, who});
    if (enrolment.changed) {
      RelayEvent event(RelayEvent::Kind::registered, record.run_key, who);
      event.host = sender_.host;
      handler_.options_.observer(event);
    }
    Answers answers = granted(enrolment.version);
    if (enrolment.displaced) {
      handler_.announce(*enrolment.displaced, RelayEvent::Kind::displaced, answers);
    }
    if (enrolment.change) handler_.announce(*enrolment.change, answers);
    return answers;
  }

  Answers operator()(const request::Renew& body) {
    registry_.renew(body.as.run_key, who(body.as), body.note, now_);
    return granted(registry_.version(body.as.run_key));
  }

  Answers operator()(const request::Leave& body) {
    Answers answers = reply(answer::Left{});
    registry_.claims().release(body.as.run_key, who(body.as));
    if (const auto departure = registry_.remove(body.as.run_key, who(body.as))) {
      handler_.announce(*departure, RelayEvent::Kind::left, answers);
    }
    return answers;
  }

  Answers operator()(const request::LookUp& body) {
    Page page = registry_.page(body.as.run_key, body.role, body.after, kPageBytes);
    return reply(answer::Found{std::move(page.records), page.complete, page.version});
  }

  Answers operator()(const request::Watch& body) {
    registry_.watch(body.as.run_key, who(body.as), body.on);
    return granted(registry_.version(body.as.run_key));
  }

  Answers operator()(const request::Claim& body) {
    auto outcome = registry_.claims().claim(
        body, {.who = who(body.as), .address = quota_address(sender_.host)}, lease(),
        handler_.options_.boot_clock());
    if (auto* claimed = std::get_if<answer::Claimed>(&outcome)) return reply(std::move(*claimed));
    if (std::get<ClaimFlaw>(outcome) == ClaimFlaw::full) {
      return refuse(net::Refusal::full, "no room for another claim", whole_ms(lease()));
    }
    return refuse(
        net::Refusal::malformed,
        fmt::format("the claim's number {} is more than a day ahead of this relay's clock",
                    body.number));
  }

  Answers operator()(const request::Revoke& body) {
    if (!net::is_signed(body.revocation)) {
      return refuse(net::Refusal::forged, "the issuer of the run has not signed that");
    }
    const VerifyKey& run_key = body.revocation.run_key;
    if (!handler_.rules_.allows_run(run_key)) return refuse_run(run_key);
    // A run that nobody is in is one that anyone can make up.
    if (registry_.version(run_key) == 0) {
      return refuse(net::Refusal::not_a_member, "no member of that run is here");
    }
    Answers answers = reply(answer::Revoked{body.revocation});
    if (!handler_.revoke(body.revocation, answers) &&
        !registry_.is_revoked(run_key, body.revocation.peer_key)) {
      return refuse(net::Refusal::full, "no room for another revocation", whole_ms(lease()));
    }
    return answers;
  }

  Answers operator()(const request::Introduce& body) {
    const VerifyKey& run_key = body.as.run_key;
    const net::Place asker = who(body.as);
    const net::SignedRecord* record = registry_.record_of(run_key, body.to);
    if (record == nullptr || body.to == asker) {
      return refuse(net::Refusal::unknown_peer,
                    fmt::format("no other peer {} of role {} is here",
                                net::PeerId(body.to.peer_key).to_string(), body.to.role));
    }
    const Registration* other = registry_.find(run_key, body.to);
    const bool here = other != nullptr && !other->connection.empty();
    // No tokens are issued in vain: they would make void those that both sides have.
    if (!here && !handler_.can_forward(run_key, body.to, sender_)) {
      return handler_.refuse_unconnected(sender_, id_, other != nullptr && other->cut_off);
    }
    answer::Introduced to_asker{
        .record = *record, .asker = true, .start_ms = kIntroductionLeadMs, .tokens = {}};
    answer::Introduced to_other{.record = registry_.find(run_key, asker)->record,
                                .asker = false,
                                .start_ms = kIntroductionLeadMs,
                                .tokens = {}};
    for (std::uint8_t path = 0; path < body.paths; ++path) {
      auto ours = handler_.desk_.issue(seat_of(run_key, asker, body.to, path),
                                       quota_address(sender_.host), now_);
      auto theirs = handler_.desk_.issue(seat_of(run_key, body.to, asker, path),
                                         handler_.source_of(run_key, body.to), now_);
      if (!ours || !theirs) break;  // fewer relayed connections than were wanted, or none
      to_asker.tokens.push_back({.to = body.to, .path = path, .token = std::move(*ours)});
      to_other.tokens.push_back({.to = asker, .path = path, .token = std::move(*theirs)});
      handler_.totals_.tokens += 2;
    }
    RelayEvent event(RelayEvent::Kind::introduced, run_key, asker);
    event.other = body.to;
    if (!here) return introduce_far(body, std::move(to_asker), std::move(to_other), event);
    ++handler_.totals_.introductions;
    handler_.options_.observer(event);
    Answers answers{{other->connection, {.id = 0, .body = std::move(to_other)}}};
    answers.push_back({sender_.connection, {.id = id_, .body = std::move(to_asker)}});
    return answers;
  }

  Answers operator()(const request::Survey& body) {
    if (!handler_.is_operator(sender_)) {
      return refuse(net::Refusal::not_allowed, "only the relay's operator may ask that");
    }
    return reply(survey(body,
                        {.registry = registry_,
                         .totals = handler_.totals_,
                         .traffic_of = handler_.options_.traffic_of,
                         .neighbours = handler_.options_.neighbours(),
                         .departures = handler_.departures_,
                         .wall_now = handler_.options_.wall_clock()},
                        now_));
  }

  Answers operator()(const request::Mirror& body) {
    const Duration hold =
        std::min<Duration>(std::chrono::milliseconds(body.hold_ms), kMaxMirrorHold);
    handler_.held_.insert_or_assign(
        sender_.key,
        Held{.connection = sender_.connection, .id = id_, .asked = body, .until = now_ + hold});
    return {};
  }

  Answers operator()(const request::Forward& body) {
    const Registration* member = registry_.find(body.run_key, body.to);
    if (member == nullptr || member->connection.empty()) {
      return handler_.refuse_unconnected(sender_, id_, member != nullptr && member->cut_off);
    }
    // Whatever the neighbour says, its tokens are for its own data port.
    std::vector<answer::PathToken> tokens = body.tokens;
    for (answer::PathToken& token : tokens) token.relay = sender_.key;
    Answers answers;
    if (body.record) {
      if (auto flaw = flaw_of(body)) return refuse(flaw->reason, std::move(flaw->text));
      answers.push_back({member->connection,
                         {.id = 0,
                          .body = answer::Introduced{.record = *body.record,
                                                     .asker = false,
                                                     .start_ms = kIntroductionLeadMs,
                                                     .tokens = std::move(tokens)}}});
    } else {
      for (answer::PathToken& token : tokens) {
        answers.push_back({member->connection, {.id = 0, .body = std::move(token)}});
      }
    }
    ++handler_.totals_.forwards;
    answers.push_back({sender_.connection, {.id = id_, .body = answer::Forwarded{}}});
    return answers;
  }

 private:
  // A member is shown its own run only, and who is served here, whoever introduces it.
  std::optional<answer::Refused> flaw_of(const request::Forward& body) const {
    const auto opened = net::open(*body.record);
    const auto* other = std::get_if<net::PeerRecord>(&opened);
    if (other == nullptr || other->run_key != body.run_key) {
      return answer::Refused{net::Refusal::forged, "the record is not signed by that run"};
    }
    const net::Place place{.peer_key = other->peer_key, .role = other->role};
    if (place == body.to || std::ranges::any_of(body.tokens, [&](const answer::PathToken& token) {
          return token.to != place;
        })) {
      return answer::Refused{net::Refusal::malformed, "the tokens lead to another peer"};
    }
    if (!handler_.rules_.allows_peer(other->peer_key)) {
      return answer::Refused{net::Refusal::not_allowed, "this relay does not serve that peer"};
    }
    return std::nullopt;
  }

  // The other side is told first: who asks begins to dial when it can be met.
  Answers introduce_far(const request::Introduce& body, answer::Introduced to_asker,
                        answer::Introduced to_other, const RelayEvent& event) {
    const std::uint64_t number = ++handler_.last_number_;
    const request::Forward message{.run_key = body.as.run_key,
                                   .to = body.to,
                                   .record = std::move(to_other.record),
                                   .tokens = std::move(to_other.tokens)};
    if (!handler_.forward(body.as.run_key, body.to, number, message)) {
      return refuse(net::Refusal::unknown_peer, kFarAway, kAbsentRetryMs);
    }
    handler_.under_way_.emplace(number, UnderWay{.asker = sender_,
                                                 .id = id_,
                                                 .to_asker = std::move(to_asker),
                                                 .event = event,
                                                 .until = now_ + kForwardTimeout});
    return {};
  }

  net::Place who(const net::Membership& as) const {
    return {.peer_key = sender_.key, .role = as.role};
  }
  Duration lease() const { return registry_.limits().lease; }
  Answers reply(Body body) const {
    return {{sender_.connection, {.id = id_, .body = std::move(body)}}};
  }
  Answers granted(std::uint64_t version) const {
    return reply(answer::Granted{.lease_ms = whole_ms(lease()),
                                 .registry_version = version,
                                 .observed_host = shortened(sender_.host, net::kMaxHostChars),
                                 .echo_ports = handler_.options_.echo_ports});
  }
  Answers refuse_run(const VerifyKey& run_key) {
    const net::RunId run(run_key);
    return handler_.refuse(sender_, id_, net::Refusal::not_a_member,
                           fmt::format("this relay does not serve run {}", run.to_string()), 0,
                           how_to_allow(run));
  }
  Answers refuse(net::Refusal reason, std::string text, std::uint32_t retry_ms = 0) {
    return handler_.refuse(sender_, id_, reason, std::move(text), retry_ms);
  }

  RequestHandler& handler_;
  Registry& registry_;
  const Sender& sender_;
  std::uint64_t id_;
  TimePoint now_;
};

RequestHandler::RequestHandler(HandlerOptions options, Registry& registry, TokenDesk& desk,
                               const AccessRules& rules, TimePoint now)
    : options_(std::move(options)), registry_(registry), desk_(desk), rules_(rules), limits_(now) {}

std::vector<Outgoing> RequestHandler::handle(const Sender& sender, const net::Request& request,
                                             TimePoint now) {
  ++totals_.requests;
  const bool surveys = std::holds_alternative<net::request::Survey>(request.body);
  if (is_operator(sender) && surveys)
    return Visitor(*this, sender, request.id, now)(std::get<net::request::Survey>(request.body));

  const net::Membership claim = std::visit(ClaimOf{}, request.body);
  const net::Place who{.peer_key = sender.key, .role = claim.role};
  const bool registers = std::holds_alternative<net::request::Register>(request.body) ||
                         std::holds_alternative<net::request::Revoke>(request.body);
  const bool gossips = std::holds_alternative<net::request::Mirror>(request.body) ||
                       std::holds_alternative<net::request::Forward>(request.body);
  const bool neighbour = gossips && rules_.is_neighbour(sender.key);
  const bool member = registry_.find(claim.run_key, who) != nullptr;
  const Standing standing = neighbour                               ? Standing::neighbour
                            : member || registry_.knows(sender.key) ? Standing::member
                                                                    : Standing::stranger;
  const Toll toll =
      limits_.charge(sender.key, quota_address(sender.host), standing, cost_of(request), now);
  if (std::holds_alternative<Ignore>(toll)) {
    ++totals_.ignored;
    return {};
  }
  if (const auto* wait = std::get_if<Wait>(&toll)) {
    return refuse(sender, request.id, net::Refusal::busy, "too many requests",
                  std::max(1u, whole_ms(wait->retry)));
  }
  if (gossips && !neighbour) {
    const std::string key = net::to_hex(sender.key);
    return refuse(
        sender, request.id, net::Refusal::not_allowed,
        fmt::format("this relay does not name you, with key {}, as its neighbour", key), 0,
        fmt::format("--neighbour tcp://HOST:PORT#{},data=PORT, or that word as a line of the "
                    "--neighbour-file, makes it one",
                    key));
  }
  if (!gossips && !rules_.allows_peer(sender.key)) {
    return refuse(sender, request.id, net::Refusal::not_allowed,
                  fmt::format("this relay does not serve key {}", net::to_hex(sender.key)), 0,
                  how_to_allow(sender.key));
  }
  if (member) {
    registry_.heard(claim.run_key, who, sender.connection);
  } else if (!registers && !surveys && !gossips) {
    return refuse(sender, request.id, net::Refusal::not_a_member,
                  fmt::format("you are not registered here as {}", claim.role));
  }
  return std::visit(Visitor(*this, sender, request.id, now), request.body);
}

std::vector<Outgoing> RequestHandler::malformed(const Sender& sender, const std::string& why,
                                                TimePoint now) {
  ++totals_.requests;
  const Standing standing = registry_.knows(sender.key) ? Standing::member : Standing::stranger;
  const Toll toll =
      limits_.charge(sender.key, quota_address(sender.host), standing, kRegisterCost, now);
  if (!std::holds_alternative<Pass>(toll)) {
    ++totals_.ignored;
    return {};
  }
  return refuse(sender, 0, net::Refusal::malformed, why);
}

std::vector<Outgoing> RequestHandler::expire(TimePoint now) {
  Answers answers;
  for (const Departure& departure : registry_.expire(now)) {
    announce(departure, RelayEvent::Kind::expired, answers);
  }
  while (!under_way_.empty() && under_way_.begin()->second.until <= now) {
    std::ranges::move(forwarded(under_way_.begin()->first, Delivery::failed),
                      std::back_inserter(answers));
  }
  return answers;
}

// ---- Neighbours.

std::vector<Outgoing> RequestHandler::answer_mirrors(TimePoint now) {
  Answers answers;
  std::erase_if(held_, [&](const auto& entry) {
    const Held& held = entry.second;
    if (!rules_.is_neighbour(entry.first)) return true;
    const bool waited = now >= held.until;
    if (!waited && !registry_.has_changes_since(held.asked.since)) return false;
    answers.push_back({held.connection,
                       {.id = held.id, .body = registry_.changes_since(held.asked, kPageBytes)}});
    return true;
  });
  return answers;
}

std::vector<Outgoing> RequestHandler::propagate(const std::vector<Change>& changes,
                                                const std::vector<Departure>& departures) {
  Answers answers;
  for (const Change& change : changes) announce(change, answers);
  for (const Departure& departure : departures) announce(departure, answers);
  return answers;
}

std::vector<Outgoing> RequestHandler::forwarded(std::uint64_t number, Delivery delivery) {
  auto found = under_way_.extract(number);
  if (found.empty()) return {};
  UnderWay& introduction = found.mapped();
  if (delivery == Delivery::absent) {
    return refuse_unconnected(introduction.asker, introduction.id, true);
  }
  if (delivery == Delivery::failed) {
    return refuse(introduction.asker, introduction.id, net::Refusal::unknown_peer, kFarAway,
                  kAbsentRetryMs);
  }
  ++totals_.introductions;
  options_.observer(introduction.event);
  return {{introduction.asker.connection,
           {.id = introduction.id, .body = std::move(introduction.to_asker)}}};
}

bool RequestHandler::can_forward(const VerifyKey& run_key, const net::Place& to,
                                 const Sender& asker) const {
  const std::vector<net::PublicKey> holders = registry_.neighbours_with(run_key, to);
  if (holders.empty() || under_way_.size() >= kMaxIntroductionsUnderWay) return false;
  const std::string address = quota_address(asker.host);
  const auto of_address = std::ranges::count_if(under_way_, [&](const auto& entry) {
    return quota_address(entry.second.asker.host) == address;
  });
  if (static_cast<std::size_t>(of_address) >= kMaxIntroductionsUnderWayOfAddress) return false;
  return std::ranges::any_of(options_.neighbours(), [&](const NeighbourState& neighbour) {
    return neighbour.connected && std::ranges::find(holders, neighbour.key) != holders.end();
  });
}

bool RequestHandler::forward(const VerifyKey& run_key, const net::Place& to, std::uint64_t number,
                             const net::request::Forward& message) {
  return std::ranges::any_of(registry_.neighbours_with(run_key, to),
                             [&](const net::PublicKey& neighbour) {
                               return options_.forward_to(neighbour, number, message);
                             });
}

// What tokens of that member count for: its address, or the neighbour that has it.
std::string RequestHandler::source_of(const VerifyKey& run_key, const net::Place& who) const {
  if (const Registration* here = registry_.find(run_key, who)) return quota_address(here->host);
  const std::vector<net::PublicKey> neighbours = registry_.neighbours_with(run_key, who);
  return neighbours.empty() ? std::string() : net::to_hex(neighbours.front());
}

std::vector<Outgoing> RequestHandler::replace_spent(TimePoint now) {
  Answers answers;
  for (const Seat& seat : desk_.take_spent()) {
    const VerifyKey& run_key = seat.pairing.run_key;
    const Registration* owner = registry_.find(run_key, seat.owner());
    const bool here = owner != nullptr && !owner->connection.empty();
    if (!here && registry_.neighbours_with(run_key, seat.owner()).empty()) continue;
    if (!registry_.is_anywhere(run_key, seat.other())) continue;
    auto text = desk_.issue(seat, source_of(run_key, seat.owner()), now);
    if (!text) continue;
    ++totals_.tokens;
    net::answer::PathToken token{
        .to = seat.other(), .path = seat.pairing.path, .token = std::move(*text)};
    if (here) {
      answers.push_back({owner->connection, {.id = 0, .body = std::move(token)}});
    } else {
      // One that is lost on the way is asked for again, with a new introduction.
      forward(run_key, seat.owner(), 0,
              {.run_key = run_key, .to = seat.owner(), .record = {}, .tokens = {std::move(token)}});
    }
  }
  return answers;
}

bool RequestHandler::revoke(const net::Revocation& revocation, Answers& answers) {
  std::vector<Departure> departures;
  if (!registry_.revoke(revocation, departures)) return false;
  for (const Departure& departure : departures) {
    announce(departure, RelayEvent::Kind::revoked, answers);
  }
  push_to_watchers(revocation.run_key, {}, net::answer::Revoked{revocation}, answers);
  return true;
}

std::vector<Outgoing> RequestHandler::propagate(const std::vector<net::Revocation>& revocations) {
  Answers answers;
  for (const net::Revocation& revocation : revocations) revoke(revocation, answers);
  return answers;
}

std::vector<Outgoing> RequestHandler::enforce() {
  std::vector<std::pair<VerifyKey, net::Place>> revoked;
  registry_.for_each([&](const VerifyKey& run_key, const net::Place& who, const Registration&) {
    if (!rules_.allows_peer(who.peer_key) || !rules_.allows_run(run_key)) {
      revoked.emplace_back(run_key, who);
    }
  });
  Answers answers;
  for (const auto& [run_key, who] : revoked) {
    registry_.claims().release(run_key, who);
    if (const auto departure = registry_.remove(run_key, who)) {
      announce(*departure, RelayEvent::Kind::revoked, answers);
    }
  }
  return answers;
}

std::vector<Outgoing> RequestHandler::farewell() const {
  std::set<ConnectionId> connections;  // a host with several roles is told once
  registry_.for_each([&](const VerifyKey&, const net::Place&, const Registration& member) {
    if (!member.connection.empty()) connections.insert(member.connection);
  });
  Answers answers;
  for (const ConnectionId& connection : connections) {
    answers.push_back({connection, {.id = 0, .body = net::answer::Farewell{}}});
  }
  return answers;
}

std::vector<Outgoing> RequestHandler::refuse(const Sender& sender, std::uint64_t id,
                                             net::Refusal reason, std::string text,
                                             std::uint32_t retry_ms, std::string remedy) {
  ++totals_.refusals;
  RelayEvent event(RelayEvent::Kind::refused, {}, {.peer_key = sender.key, .role = {}});
  event.host = sender.host;
  event.reason = net::name_of(reason);
  event.remedy = std::move(remedy);
  options_.observer(event);
  return {{sender.connection,
           {.id = id,
            .body = net::answer::Refused{.reason = reason,
                                         .text = shortened(std::move(text), net::kMaxRefusalChars),
                                         .retry_ms = retry_ms}}}};
}

std::vector<Outgoing> RequestHandler::refuse_unconnected(const Sender& sender, std::uint64_t id,
                                                         bool cut_off) {
  Answers answers = refuse(sender, id, net::Refusal::unknown_peer,
                           "that peer is registered and not connected", kAbsentRetryMs);
  std::get<answer::Refused>(answers.front().answer.body).absent = cut_off;
  return answers;
}

void RequestHandler::announce(const Departure& departure, RelayEvent::Kind why, Answers& answers) {
  options_.observer(RelayEvent(why, departure.run_key, departure.who));
  if (!departure.host.empty()) {
    departures_.note({.who = {departure.run_key, departure.who},
                      .host = departure.host,
                      .how = name_of(why),
                      .when = options_.wall_clock()});
  }
  announce(departure, answers);
}

void RequestHandler::announce(const Departure& departure, Answers& answers) {
  if (!departure.elsewhere) desk_.revoke(departure.run_key, departure.who);
  if (departure.change) announce(*departure.change, answers);
}

void RequestHandler::announce(const Change& change, Answers& answers) const {
  const auto& [run_key, who, version, record] = change;
  const Body body = record ? Body(net::answer::Appeared{*record, version})
                           : Body(net::answer::Departed{run_key, who, version});
  push_to_watchers(run_key, who, body, answers);
}

void RequestHandler::push_to_watchers(const VerifyKey& run_key, const net::Place& except,
                                      const Body& body, Answers& answers) const {
  registry_.for_each_of(run_key,
                        [&](const VerifyKey&, const net::Place& who, const Registration& member) {
                          if (member.watching && who != except && !member.connection.empty()) {
                            answers.push_back({member.connection, {.id = 0, .body = body}});
                          }
                        });
}

}  // namespace ptrain::relay
