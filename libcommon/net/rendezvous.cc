#include "libcommon/net/rendezvous.h"

#include <algorithm>
#include <charconv>
#include <utility>

#include <fmt/format.h>

#include "libcommon/net/bundle_dialer.h"
#include "libcommon/net/dialer.h"
#include "libcommon/net/relay_codec.h"

namespace ptrain::net {
namespace {

constexpr std::string_view kRolePrefix = "stage-";
constexpr std::uint16_t kMostCandidatesDialled = 4;
// Of relays that our ticket does not name.
constexpr std::size_t kMaxDataPorts = 64;
// Most candidates lie behind a NAT and will never answer.
constexpr Duration kLastCandidateRetry = std::chrono::seconds(10);

// What peers with other tickets need in order to come to our relays.
std::vector<TicketRelay> relays_to_tell(const Ticket& ticket) {
  std::vector<TicketRelay> relays;
  for (const TicketRelay& relay : ticket.relays) {
    if (relays.size() < kMaxRecordRelays && to_word(relay).size() <= kMaxRelayWordChars) {
      relays.push_back(relay);
    }
  }
  return relays;
}

MembershipOptions membership_options(const RendezvousOptions& options) {
  const SigningKey run_key = options.ticket.secret.run_key();
  const PeerRecord record{
      .run_key = run_key.verify_key(),
      .peer_key = options.key.public_key(),
      .role = role_of(options.self),
      .sequence = options.sequence,
      .candidates = options.direct ? options.candidates : std::vector<Endpoint>{},
      .relays = relays_to_tell(options.ticket)};
  MembershipOptions membership{.record = sign(record, run_key),
                               .run_key = record.run_key,
                               .self_key = record.peer_key,
                               .role = record.role,
                               .paths = static_cast<std::uint8_t>(1 + options.connections)};
  // Of two stages the one that dials asks for the introduction.
  for (const StageIndex peer : options.peers) {
    if (options.self > peer) membership.seeks.insert(role_of(peer));
  }
  return membership;
}

}  // namespace

std::string role_of(StageIndex stage) { return fmt::format("{}{}", kRolePrefix, stage.value()); }

std::optional<StageIndex> stage_of_role(std::string_view role) {
  if (!role.starts_with(kRolePrefix)) return std::nullopt;
  role.remove_prefix(kRolePrefix.size());
  std::uint32_t number = 0;
  const auto [end, error] = std::from_chars(role.data(), role.data() + role.size(), number);
  if (error != std::errc() || end != role.data() + role.size()) return std::nullopt;
  return StageIndex(number);
}

Rendezvous::Rendezvous(zmq::context_t& context, RendezvousOptions options,
                       StageAdmission& admission, RandomSource& random, Log& log)
    : context_(context),
      options_(std::move(options)),
      admission_(admission),
      random_(random),
      log_(log) {
  const MembershipOptions membership = membership_options(options_);
  for (const TicketRelay& relay : options_.ticket.relays) {
    relays_.push_back(
        {.name = fmt::format("{}:{}", relay.control.host, relay.control.port),
         .link = std::make_unique<RelayLink>(
             context_, ControlLinkOptions{.control = relay.control, .key = options_.key},
             membership)});
  }
  data_ports_ = options_.ticket.relays;
}

Rendezvous::~Rendezvous() = default;

template <typename Call>
void Rendezvous::for_each_source(Call call) const {
  for (const auto& [id, known] : acquaintances_) {
    for (const auto& source : known.sources) call(*source);
  }
  for (const auto& [peer, sources] : direct_) {
    for (const auto& source : sources) call(*source);
  }
}

void Rendezvous::add_poll_items(std::vector<zmq_pollitem_t>& items) {
  for (Relay& relay : relays_) relay.link->add_poll_items(items);
  for_each_source([&](PathSource& source) { source.add_poll_items(items); });
}

TimePoint Rendezvous::next_tick() const {
  TimePoint next = TimePoint::max();
  for (const Relay& relay : relays_) next = std::min(next, relay.link->next_tick());
  for_each_source([&](PathSource& source) { next = std::min(next, source.next_tick()); });
  return next;
}

void Rendezvous::close(PathId id, TimePoint now) {
  if (open_.erase(id) == 0) return;
  for_each_source([&](PathSource& source) { source.close(id, now); });
}

void Rendezvous::session_moved(PeerHandle peer, const std::string& path, const std::string& why) {
  notes_[peer] = fmt::format("stage {}: {} ({})", peer.value(), path, why);
  std::string all;
  for (const auto& [each, note] : notes_) all += (all.empty() ? "" : "; ") + note;
  all.resize(std::min(all.size(), kMaxNoteChars));
  for (Relay& relay : relays_) relay.link->set_note(all);
}

void Rendezvous::process(PathSink& sink, TimePoint now) {
  outer_ = &sink;
  for (std::size_t i = 0; i < relays_.size(); ++i) {
    for (const membership::Event& event : relays_[i].link->process(now)) take(i, event, now);
    report_trouble(relays_[i]);
  }
  for_each_source([&](PathSource& source) {
    processed_ = &source;
    source.process(*this, now);
  });
  ask_for_tokens(now);
  outer_ = nullptr;
}

void Rendezvous::path_opened(Path& path, PeerHandle peer, wire::Channel channel) {
  open_[path.id()] = processed_;
  outer_->path_opened(path, peer, channel);
}

void Rendezvous::path_lost(PathId id) {
  open_.erase(id);
  outer_->path_lost(id);
}

void Rendezvous::retire(PathSource& source, TimePoint now) {
  std::vector<PathId> lost;
  for (const auto& [id, owner] : open_) {
    if (owner == &source) lost.push_back(id);
  }
  for (const PathId id : lost) {
    source.close(id, now);
    path_lost(id);
  }
}

// ---- What the relays say.

void Rendezvous::take(std::size_t relay, const membership::Event& event, TimePoint now) {
  std::visit([&](const auto& each) { on(relay, each, now); }, event);
}

void Rendezvous::on(std::size_t relay, const membership::Met& met, TimePoint now) {
  const auto peer = stage_of_role(met.peer.role);
  if (!peer || !options_.peers.contains(*peer)) return;
  // The record is signed with the run's key: whoever made it holds the ticket.
  admission_.admit(*peer, met.peer.peer_key);
  vouched_[*peer] = met.peer.relays;
  for (const answer::PathToken& token : met.tokens) {
    const auto port = port_of(relay, *peer, token);
    if (!port) continue;
    acquaint(*port, relay, *peer, met.peer.peer_key, now);
    offer(*port, *peer, token);
  }
  if (options_.direct && dials(*peer)) dial_directly(*peer, met.peer, now);
}

void Rendezvous::on(std::size_t relay, const membership::Fresh& fresh, TimePoint) {
  const auto peer = stage_of_role(fresh.token.to.role);
  const auto port = peer ? port_of(relay, *peer, fresh.token) : std::nullopt;
  const auto known = port ? acquaintances_.find({*port, *peer}) : acquaintances_.end();
  if (known == acquaintances_.end() || known->second.key != fresh.token.to.peer_key) return;
  offer(*port, *peer, fresh.token);
}

std::optional<std::size_t> Rendezvous::port_of(std::size_t relay, StageIndex peer,
                                               const answer::PathToken& token) {
  if (!token.relay) return relay;
  const auto is_meant = [&](const TicketRelay& each) { return each.control.key == token.relay; };
  const auto ours = std::ranges::find_if(options_.ticket.relays, is_meant);
  if (ours != options_.ticket.relays.end()) {
    return static_cast<std::size_t>(ours - options_.ticket.relays.begin());
  }
  const auto& theirs = vouched_[peer];
  const auto vouched = std::ranges::find_if(theirs, is_meant);
  if (vouched == theirs.end()) return std::nullopt;
  const auto known = std::ranges::find(data_ports_, *vouched);
  if (known != data_ports_.end()) return static_cast<std::size_t>(known - data_ports_.begin());
  if (data_ports_.size() >= kMaxDataPorts) return std::nullopt;
  data_ports_.push_back(*vouched);
  return data_ports_.size() - 1;
}

void Rendezvous::acquaint(std::size_t port, std::size_t relay, StageIndex peer,
                          const PublicKey& key, TimePoint now) {
  Acquaintance& known = acquaintances_[{port, peer}];
  // A relay of ours has the tokens for its own port; of others, and where it is not to be reached,
  // whoever brought some has others.
  const bool ours = port < relays_.size() && relays_[port].registered;
  known.introducer = ours ? port : relay;
  if (known.key == key) return;
  for (auto& source : known.sources) retire(*source, now);
  known.connections.clear();
  known.sources.clear();
  known.key = key;
}

void Rendezvous::offer(std::size_t port, StageIndex peer, const answer::PathToken& token) {
  if (!options_.relayed) return;
  const AcquaintanceId id{port, peer};
  Acquaintance& known = acquaintances_.at(id);
  if (dials(peer) && known.sources.empty()) {
    known.sources.push_back(make_connection(id, known));
    known.sources.push_back(
        bundled(options_.connections, random_, [&] { return make_connection(id, known); }));
  }
  // How many there are is for who dials to say; the bundle gate puts them together.
  while (!dials(peer) && known.connections.size() <= token.path) {
    if (known.connections.size() == kMaxPathsPerIntroduction) return;
    known.sources.push_back(make_connection(id, known));
  }
  if (token.path < known.connections.size()) known.connections[token.path]->offer(token.token);
}

// The first one is for control, the others are for bulk.
std::unique_ptr<RelayedSource> Rendezvous::make_connection(const AcquaintanceId& id,
                                                           Acquaintance& known) {
  const auto& [port, peer] = id;
  const bool first = known.connections.empty();
  using Side = RelayedSourceOptions::Side;
  auto source = std::make_unique<RelayedSource>(
      context_,
      RelayedSourceOptions{.peer = StageAdmission::handle_of(peer),
                           .channel = first ? wire::Channel::control : wire::Channel::bulk,
                           .relay_host = data_ports_[port].control.host,
                           .relay_port = data_ports_[port].data_port,
                           .relay_number = static_cast<std::uint16_t>(port),
                           .key = options_.key,
                           .peer_key = known.key,
                           .side = dials(peer) ? Side::dials : Side::listens},
      admission_, random_);
  known.connections.push_back(source.get());
  return source;
}

void Rendezvous::on(std::size_t relay, const membership::Standing& standing, TimePoint now) {
  Relay& at = relays_[relay];
  if (standing.registered && !at.registered) log_.info("registered with relay " + at.name);
  if (!standing.registered) {
    const std::string text =
        fmt::format("relay {} does not register us: {}", at.name, standing.why);
    log_.warning(text);
    for (const StageIndex peer : options_.peers) {
      outer_->attempt_failed(StageAdmission::handle_of(peer), text, ErrorKind::permission, false);
    }
  }
  at.registered = standing.registered;
  if (standing.registered) replace_lost_tokens(relay, now);
}

// What the relay has sent over a connection that broke may not have come. A token is wanted at hand
// before the path needs it.
void Rendezvous::replace_lost_tokens(std::size_t relay, TimePoint now) {
  for (const auto& [id, known] : acquaintances_) {
    if (known.introducer != relay ||
        std::ranges::all_of(known.connections, [](const auto& each) { return each->has_token(); }))
      continue;
    relays_[relay].link->reintroduce({known.key, role_of(id.second)}, now);
  }
}

void Rendezvous::on(std::size_t relay, const membership::Farewell&, TimePoint) {
  log_.info(fmt::format("relay {} is about to end", relays_[relay].name));
}

void Rendezvous::report_trouble(Relay& relay) {
  const std::string& trouble = relay.link->trouble();
  if (trouble == relay.reported) return;
  relay.reported = trouble;
  if (trouble.empty()) return;
  relay.registered = false;
  const std::string text = fmt::format("relay {}: {}", relay.name, trouble);
  log_.warning(text);
  for (const StageIndex peer : options_.peers) {
    outer_->attempt_failed(StageAdmission::handle_of(peer), text, ErrorKind::unavailable, false);
  }
}

// A token that the relay no longer knows is of no use; a new introduction brings another.
void Rendezvous::ask_for_tokens(TimePoint now) {
  for (auto& [id, known] : acquaintances_) {
    const StageIndex peer = id.second;
    bool wanted = false;
    for (RelayedSource* source : known.connections) wanted = source->take_need() || wanted;
    if (wanted) relays_[known.introducer].link->reintroduce({known.key, role_of(peer)}, now);
  }
}

// ---- Direct paths.

void Rendezvous::dial_directly(StageIndex peer, const PeerRecord& record, TimePoint now) {
  std::uint64_t& sequence = direct_sequence_[peer];
  if (sequence >= record.sequence) return;
  sequence = record.sequence;
  auto& sources = direct_[peer];
  for (auto& source : sources) retire(*source, now);
  sources.clear();
  std::uint16_t number = 0;
  for (Endpoint candidate : record.candidates) {
    if (candidate.kind != EndpointKind::direct) continue;
    if (number == kMostCandidatesDialled) break;
    candidate.key = record.peer_key;
    for (const wire::Channel channel : wire::kAllChannels) {
      const DialerOptions dialer{.peer = StageAdmission::handle_of(peer),
                                 .channel = channel,
                                 .endpoint = candidate,
                                 .route = {.kind = PathKind::direct, .number = number},
                                 .key = options_.key,
                                 .last_retry = kLastCandidateRetry};
      sources.push_back(bundled(channel == wire::Channel::bulk ? options_.connections : 1, random_,
                                [&] { return std::make_unique<Dialer>(context_, dialer); }));
    }
    ++number;
  }
}

}  // namespace ptrain::net
