#include "libcommon/net/rendezvous.h"

#include <algorithm>
#include <iterator>
#include <utility>

#include <fmt/format.h>

#include "libcommon/net/address_reach.h"
#include "libcommon/net/relay_codec.h"

namespace ptrain::net {
namespace {

constexpr std::uint16_t kMostCandidatesDialled = 4;
// Addresses that a peer names and that were not dialled for it before.
constexpr BucketRule kNewAddresses{.per_s = 0.1, .burst = kMostCandidatesDialled};
// Of relays that our ticket does not name.
constexpr std::size_t kMaxDataPorts = 64;
// Keys of others that claim a place which is taken; of more nothing is said.
constexpr std::size_t kMostRivalsNamed = 16;
// What relays say of themselves and of others, in our log; and then one line in five seconds.
constexpr unsigned kLinesAtOnce = 16;

MembershipOptions membership_options(const RendezvousOptions& options, const Company& company,
                                     SignedRecord record) {
  return {.record = std::move(record),
          .run_key = options.ticket.issuer,
          .self_key = options.key.public_key(),
          .role = options.role,
          .seeks = company.sought_roles(),
          .paths = static_cast<std::uint8_t>(1 + options.connections)};
}

// A run of one host alone: what its members name may be that host.
bool on_this_host(const Ticket& ticket) {
  return std::ranges::all_of(ticket.relays, [](const TicketRelay& relay) {
    const auto address = parse_address(relay.control.host);
    return relay.control.host == "localhost" || (address && reach_of(*address) == Reach::host);
  });
}

}  // namespace

Rendezvous::Rendezvous(Transport& transport, RendezvousOptions options, Company& company,
                       RandomSource& random, Log& log)
    : transport_(transport),
      options_(std::move(options)),
      company_(company),
      random_(random),
      lines_(log, kLinesAtOnce),
      roll_(options_.ticket.relays.size()),
      outside_(options_.direct ? options_.outside_file : std::filesystem::path{}) {
  outside_.look(TimePoint{});
  if (options_.direct && options_.punch) start_punching();
  published_ = candidates();
  const MembershipOptions membership = membership_options(options_, company_, record());
  for (const TicketRelay& relay : options_.ticket.relays) {
    relays_.push_back(
        {.name = fmt::format("{}:{}", relay.control.host, relay.control.port),
         .link = std::make_unique<RelayLink>(
             transport_.ask_relay({.control = relay.control, .key = options_.key}), membership)});
  }
  data_ports_ = options_.ticket.relays;
}

Rendezvous::~Rendezvous() {
  for (Relay& relay : relays_) relay.link->leave();
}

template <typename Call>
void Rendezvous::for_each_source(Call call) const {
  for (const auto& [id, known] : acquaintances_) {
    for (const auto& source : known.sources) call(*source);
  }
  for (const auto& [peer, places] : direct_) {
    for (const DirectPeer& place : places) {
      for (const auto& source : place.sources) call(*source);
    }
  }
  if (party_) party_->for_each_source([&](PathSource& source) { call(source); });
}

void Rendezvous::add_poll_items(std::vector<PollItem>& items) {
  for (Relay& relay : relays_) relay.link->add_poll_items(items);
  if (party_) party_->add_poll_items(items);
  for_each_source([&](PathSource& source) { source.add_poll_items(items); });
}

TimePoint Rendezvous::next_tick() const {
  TimePoint next = std::min(outside_.next_look(), look_at_hosts_);
  if (party_) next = std::min(next, party_->next_tick());
  next = std::min(next, roll_.next_tick());
  for (const auto& [member, when] : departed_) next = std::min(next, when);
  for (const Relay& relay : relays_) next = std::min(next, relay.link->next_tick());
  for_each_source([&](PathSource& source) { next = std::min(next, source.next_tick()); });
  return next;
}

void Rendezvous::close(LinkId id, TimePoint now) {
  if (open_.erase(id) == 0) return;
  for_each_source([&](PathSource& source) { source.close(id, now); });
}

void Rendezvous::session_moved(PeerHandle peer, const std::string& path, const std::string& why) {
  if (path.empty() && ways_.erase(peer) == 0) return;
  if (!path.empty()) ways_[peer] = {path, why};
  renew_note();
}

void Rendezvous::process(PathSink& sink, TimePoint now) {
  outer_ = &sink;
  now_ = now;
  for (std::size_t i = 0; i < relays_.size(); ++i) {
    for (const membership::Event& event : relays_[i].link->process(now)) take(i, event, now);
    report_trouble(i, now);
    relays_[i].registered ? roll_.speaks(i, now) : roll_.is_silent(i, now);
  }
  follow_roll(now);
  try {
    if (party_) party_->process(now);
  } catch (const Error& error) {
    stop_punching(error.what(), now);
  }
  for_each_source([&](PathSource& source) {
    processed_ = &source;
    source.process(*this, now);
  });
  processed_ = nullptr;
  dial_for_bulk();
  dial_what_was_left_out(now);
  if (party_) party_->tend(now);
  forget_departed(now);
  ask_for_tokens(now);
  publish_changes(now);
  outer_ = nullptr;
}

void Rendezvous::path_opened(Path& path, PeerHandle peer) {
  open_[path.id()] = processed_;
  if (DirectPeer* place = processed_direct()) {
    place->open.insert(path.id());
    place->outcome = "connected";
  }
  company_.met(peer);
  outer_->path_opened(path, peer);
}

void Rendezvous::path_lost(LinkId id) {
  open_.erase(id);
  for (auto& [role, places] : direct_) {
    for (DirectPeer& place : places) {
      if (place.open.erase(id) > 0 && place.open.empty()) place.outcome = "lost";
    }
  }
  outer_->path_lost(id);
}

// A relay that goes on knows whether the peer is there, or asks the neighbour where that is
// registered.
void Rendezvous::last_path_ended(PeerHandle peer, TimePoint now) {
  const bool retired = outer_ != nullptr && processed_ == nullptr;  // by ourselves
  const auto role = roles_.find(peer);
  if (retired || role == roles_.end()) return;
  const auto relay = introducer_of(role->second);
  if (!relay) return;
  cuts_[role->second] = {
      .relay = *relay, .interruptions = relays_[*relay].interruptions, .when = now};
  relays_[*relay].link->reintroduce({met_.at(role->second), role->second}, now);
}

// A relayed path that ends now has a relay of its own; of others any can say.
std::optional<std::size_t> Rendezvous::introducer_of(const std::string& role) const {
  for (const auto& [id, known] : acquaintances_) {
    const auto is_it = [&](const auto& each) { return each.get() == processed_; };
    if (id.second != role || std::ranges::none_of(known.sources, is_it)) continue;
    return relays_[known.introducer].registered ? std::optional(known.introducer) : std::nullopt;
  }
  const auto any = std::ranges::find_if(relays_, &Relay::registered);
  if (any == relays_.end()) return std::nullopt;
  return static_cast<std::size_t>(any - relays_.begin());
}

void Rendezvous::retire(PathSource& source, TimePoint now) {
  std::vector<LinkId> lost;
  for (const auto& [id, owner] : open_) {
    if (owner == &source) lost.push_back(id);
  }
  for (const LinkId id : lost) {
    source.close(id, now);
    path_lost(id);
  }
}

// ---- What the relays say.

void Rendezvous::take(std::size_t relay, const membership::Event& event, TimePoint now) {
  std::visit([&](const auto& each) { on(relay, each, now); }, event);
}

void Rendezvous::on(std::size_t relay, const membership::Met& met, TimePoint now) {
  const PeerRecord& record = met.peer;
  const auto tie = company_.tie_to(record.role);
  if (!tie || !may_be_met(record)) return;
  // The record is signed with the member key: whoever made it holds the ticket.
  if (!company_.admit(record.role, record.peer_key)) {
    return warn_once(record.peer_key,
                     fmt::format("another process claims to be {}, and is not let in: key {}",
                                 company_.called(record.role), to_hex(record.peer_key)));
  }
  // Unless a relay names it, it has come and gone in between.
  departed_[{record.peer_key, record.role}] = now + kWordHolds;
  vouched_[record.role] = record.relays;
  met_[record.role] = record.peer_key;
  if (tie->peer) {
    names_[*tie->peer] = company_.called(record.role);
    roles_[*tie->peer] = record.role;
  }
  for (const answer::PathToken& token : met.tokens) {
    const auto port = port_of(relay, record.role, token);
    if (!port) continue;
    acquaint({*port, record.role}, relay, record.peer_key, now);
    offer({*port, record.role}, *tie, token);
  }
  const PeerRecord& last = latest(relay, record);
  if (options_.direct && tie->we_dial) dial_directly(*tie->peer, last, now);
  if (party_) {
    party_->met(record.role, *tie, last, now + met.start, now,
                [&](PathSource& source) { retire(source, now); });
  }
}

// A relay checks the same, and might lie. Expiry bars who comes, never who is known.
bool Rendezvous::may_be_met(const PeerRecord& record) {
  if (revoked_.contains(record.peer_key)) return false;
  if (!record.grant.expired(options_.wall_clock())) return true;
  if (company_.has_key(record.role, record.peer_key)) return true;
  lines_.warn(
      fmt::format("{} with key {} comes with a ticket that expired at {}: its holder needs a "
                  "later one (ptrain-relay ticket renew)",
                  company_.called(record.role), to_hex(record.peer_key),
                  to_string(record.grant.expires)),
      now_);
  return false;
}

// Where the relay has gone on since, it has not cut both off.
void Rendezvous::on(std::size_t relay, const membership::Absent& absent, TimePoint) {
  const auto cut = cuts_.find(absent.who.role);
  const auto tie = company_.tie_to(absent.who.role);
  if (cut == cuts_.end() || !tie || !tie->peer || met_[absent.who.role] != absent.who.peer_key)
    return;
  if (cut->second.relay != relay || cut->second.interruptions != relays_[relay].interruptions ||
      absent.asked < cut->second.when)
    return;
  outer_->peer_is_absent(*tie->peer);
}

void Rendezvous::on(std::size_t relay, const membership::Fresh& fresh, TimePoint) {
  const Place& to = fresh.token.to;
  const auto tie = company_.tie_to(to.role);
  const auto port = tie ? port_of(relay, to.role, fresh.token) : std::nullopt;
  const auto known = port ? acquaintances_.find({*port, to.role}) : acquaintances_.end();
  if (known == acquaintances_.end() || known->second.key != to.peer_key) return;
  offer(known->first, *tie, fresh.token);
}

std::optional<std::size_t> Rendezvous::port_of(std::size_t relay, const std::string& role,
                                               const answer::PathToken& token) {
  if (!token.relay) return relay;
  const auto is_meant = [&](const TicketRelay& each) { return each.control.key == token.relay; };
  const auto ours = std::ranges::find_if(options_.ticket.relays, is_meant);
  if (ours != options_.ticket.relays.end()) {
    return static_cast<std::size_t>(ours - options_.ticket.relays.begin());
  }
  const auto& theirs = vouched_[role];
  const auto vouched = std::ranges::find_if(theirs, is_meant);
  if (vouched == theirs.end()) return std::nullopt;
  const auto known = std::ranges::find(data_ports_, *vouched);
  if (known != data_ports_.end()) return static_cast<std::size_t>(known - data_ports_.begin());
  if (data_ports_.size() >= kMaxDataPorts) return std::nullopt;
  data_ports_.push_back(*vouched);
  return data_ports_.size() - 1;
}

void Rendezvous::acquaint(const AcquaintanceId& id, std::size_t relay, const PublicKey& key,
                          TimePoint now) {
  Acquaintance& known = acquaintances_[id];
  // A relay of ours has the tokens for its own port; of others, and where it is not to be reached,
  // whoever brought some has others.
  const bool ours = id.first < relays_.size() && relays_[id.first].registered;
  known.introducer = ours ? id.first : relay;
  if (known.key == key) return;
  for (auto& source : known.sources) retire(*source, now);
  known.connections.clear();
  known.sources.clear();
  known.key = key;
}

void Rendezvous::offer(const AcquaintanceId& id, const Tie& tie, const answer::PathToken& token) {
  if (!options_.relayed) return;
  Acquaintance& known = acquaintances_.at(id);
  // How many there are is for who dials to say.
  const std::size_t wanted = tie.we_dial ? 1u + options_.connections : token.path + 1u;
  while (known.connections.size() < wanted) {
    if (known.connections.size() == kMaxPathsPerIntroduction) return;
    known.sources.push_back(make_connection(id.first, tie, known));
  }
  if (token.path < known.connections.size()) known.connections[token.path]->offer(token.token);
}

// The first one is for control, the others are for bulk.
std::unique_ptr<RelayedSource> Rendezvous::make_connection(std::size_t port, const Tie& tie,
                                                           Acquaintance& known) {
  const bool first = known.connections.empty();
  using Side = RelayedSourceOptions::Side;
  auto source = std::make_unique<RelayedSource>(
      transport_,
      RelayedSourceOptions{
          .peer = tie.peer,
          .link = introduce_link(first ? wire::Purpose::control : wire::Purpose::bulk, random_),
          .relay_host = data_ports_[port].control.host,
          .relay_port = data_ports_[port].data_port,
          .relay_number = static_cast<std::uint16_t>(port),
          .hearsay = port >= options_.ticket.relays.size() && !on_this_host(options_.ticket),
          .key = options_.key,
          .peer_key = known.key,
          .side = tie.we_dial ? Side::dials : Side::listens},
      random_);
  known.connections.push_back(source.get());
  return source;
}

void Rendezvous::on(std::size_t relay, const membership::Standing& standing, TimePoint now) {
  Relay& at = relays_[relay];
  if (standing.registered && !at.registered) {
    lines_.inform("registered with relay " + at.name, now);
  }
  was_registered_ = was_registered_ || standing.registered;
  if (standing.registered) at.refused.clear();
  if (!standing.registered) {
    const std::string text =
        fmt::format("relay {} does not register us: {}", at.name, standing.why);
    if (text != at.refused) lines_.warn(text, now);
    at.refused = text;
    at.barred = standing.permanent ? std::optional(standing.kind) : std::nullopt;
    // While one relay may yet register us, or a session lives, there is hope.
    const bool hopeless =
        std::ranges::all_of(relays_, [](const Relay& each) { return each.barred.has_value(); });
    const Error why(at.barred.value_or(ErrorKind::permission), text, standing.hint);
    // Who has been served may be again; whoever has just been started should know.
    const bool final = standing.hint.empty() || !was_registered_;
    if (hopeless && final && company_.awaited().empty()) throw Error(why);
    tell_awaited(why, hopeless);
  } else {
    at.barred.reset();
  }
  at.registered = standing.registered;
  if (!standing.registered) {
    ++at.interruptions;
    return;
  }
  if (party_) party_->echo_is_at(options_.ticket.relays[relay], standing.echo_ports, now);
  replace_lost_tokens(relay, now);
}

// What the relay has sent over a connection that broke may not have come. A token is wanted at hand
// before the path needs it.
void Rendezvous::replace_lost_tokens(std::size_t relay, TimePoint now) {
  for (const auto& [id, known] : acquaintances_) {
    if (known.introducer != relay ||
        std::ranges::all_of(known.connections, [](const auto& each) { return each->has_token(); }))
      continue;
    relays_[relay].link->reintroduce({known.key, id.second}, now);
  }
}

void Rendezvous::on(std::size_t, const membership::Rival& rival, TimePoint) {
  warn_once(rival.key, fmt::format("another process is registered as {}, too: key {}",
                                   company_.called(options_.role), to_hex(rival.key)));
  tell_awaited(
      Error(ErrorKind::try_again,
            fmt::format("another process has our place: end it, or this one; its key is {}",
                        to_hex(rival.key))),
      false);
}

void Rendezvous::tell_awaited(const Error& why, bool permanent) {
  for (const PeerHandle peer : company_.awaited()) outer_->attempt_failed(peer, why, permanent);
}

void Rendezvous::warn_once(const PublicKey& key, const std::string& what) {
  if (rivals_.size() < kMostRivalsNamed && rivals_.insert(key).second) lines_.warn(what, now_);
}

void Rendezvous::on(std::size_t relay, const membership::Farewell&, TimePoint now) {
  lines_.inform(fmt::format("relay {} is about to end", relays_[relay].name), now);
}

void Rendezvous::report_trouble(std::size_t number, TimePoint now) {
  Relay& relay = relays_[number];
  const std::string& trouble = relay.link->trouble();
  if (trouble == relay.reported) return;
  relay.reported = trouble;
  if (trouble.empty()) return;
  if (relay.link->refuses_our_key()) {
    return on(
        number,
        membership::Standing{
            .why = trouble, .permanent = true, .hint = how_to_be_served(options_.key.public_key())},
        now);
  }
  relay.registered = false;
  ++relay.interruptions;
  relay.barred.reset();
  const std::string text = fmt::format("relay {}: {}", relay.name, trouble);
  lines_.warn(text, now);
  tell_awaited(Error(ErrorKind::unavailable, text), false);
}

// A token that the relay no longer knows is of no use; a new introduction brings another.
void Rendezvous::ask_for_tokens(TimePoint now) {
  for (auto& [id, known] : acquaintances_) {
    bool wanted = false;
    for (RelayedSource* source : known.connections) wanted = source->take_need() || wanted;
    if (wanted) relays_[known.introducer].link->reintroduce({known.key, id.second}, now);
  }
}

// ---- Direct paths.

// Of what the relays say last.
const PeerRecord& Rendezvous::latest(std::size_t relay, const PeerRecord& record) {
  Word& word = words_[record.role];
  if (word.key != record.peer_key) word = {.key = record.peer_key};
  word.by_relay.insert_or_assign(relay, record);
  const auto number = [](const auto& entry) { return entry.second.sequence; };
  return std::ranges::max_element(word.by_relay, {}, number)->second;
}

// What another record has named before goes on as it is.
void Rendezvous::dial_directly(PeerHandle peer, const PeerRecord& record, TimePoint now) {
  const Dialled unknown{.record = {}, .addresses = TokenBucket(kNewAddresses, now)};
  Dialled& dialled = dialled_.try_emplace(record.role, unknown).first->second;
  if (dialled.record == record && !dialled.left_out) return;
  dialled.record = record;
  dialled.left_out = false;
  std::vector<DirectPeer> before = std::exchange(direct_[record.role], {});
  std::vector<DirectPeer>& places = direct_[record.role];
  const auto taken = [&](std::uint16_t number) {
    const auto has = [number](const DirectPeer& each) { return each.number == number; };
    return std::ranges::any_of(before, has) || std::ranges::any_of(places, has);
  };
  for (Endpoint candidate : record.candidates) {
    if (candidate.kind != EndpointKind::direct) continue;
    if (places.size() == kMostCandidatesDialled) break;
    candidate.key = record.peer_key;
    const auto known = std::ranges::find(before, candidate, &DirectPeer::at);
    if (known != before.end()) {
      places.push_back(std::move(*known));
      before.erase(known);
      continue;
    }
    if (dialled.addresses.level(now) < 1) {
      dialled.left_out = true;
      continue;
    }
    dialled.addresses.take(1, now);
    DirectPeer place{.peer = peer, .at = candidate};
    while (taken(place.number)) ++place.number;
    place.sources.push_back(dial(place, wire::Purpose::control));
    places.push_back(std::move(place));
  }
  for (DirectPeer& place : before) {
    for (auto& source : place.sources) retire(*source, now);
  }
}

std::unique_ptr<PathSource> Rendezvous::dial(const DirectPeer& place, wire::Purpose purpose) {
  return transport_.dial({.peer = place.peer,
                          .link = introduce_link(purpose, random_),
                          .endpoint = place.at,
                          .route = {.kind = RouteKind::direct, .number = place.number},
                          .key = options_.key,
                          .hearsay = true});
}

// An address that is not the peer's is dialled for one connection, not for all.
void Rendezvous::dial_for_bulk() {
  for (auto& [role, places] : direct_) {
    for (DirectPeer& place : places) {
      while (!place.open.empty() && place.sources.size() <= options_.connections) {
        place.sources.push_back(dial(place, wire::Purpose::bulk));
      }
    }
  }
}

void Rendezvous::dial_what_was_left_out(TimePoint now) {
  for (const auto& [role, dialled] : dialled_) {
    const auto tie = company_.tie_to(role);
    const bool may = dialled.left_out && dialled.addresses.level(now) >= 1;
    if (may && tie && tie->peer) dial_directly(*tie->peer, PeerRecord(dialled.record), now);
  }
}

Rendezvous::DirectPeer* Rendezvous::processed_direct() {
  for (auto& [role, places] : direct_) {
    for (DirectPeer& place : places) {
      for (const auto& source : place.sources) {
        if (source.get() == processed_) return &place;
      }
    }
  }
  return nullptr;
}

void Rendezvous::attempt_failed(PeerHandle peer, const Error& why, bool) {
  if (DirectPeer* place = processed_direct(); place != nullptr && place->open.empty()) {
    place->outcome = why.what();
  }
  outer_->attempt_failed(peer, why, false);
}

}  // namespace ptrain::net
