#include "libcommon/net/hub.h"

#include <algorithm>
#include <bit>
#include <new>
#include <utility>

#include <fmt/format.h>

namespace ptrain::net {
namespace {

// Frames one session may put out before the others have their turn: 16 MiB at most.
constexpr int kFramesPerRound = 16;

// What was last said to one that left is lost if our sockets close before it came.
constexpr Duration kFarewellTime = std::chrono::seconds(2);

// Of one that comes unexpected: from its first connection to its session.
constexpr Duration kIntroductionTimeout = std::chrono::seconds(10);

// What all sessions have in common; peer, peer_name and incarnation are each one's own.
SessionOptions common_terms(const NodeOptions& options) {
  return {.self = options.self,
          .introduction = options.introduction,
          .credit_window = options.credit_window,
          .message_limit = options.message_limit,
          .stall_timeout =
              std::min<Duration>(SessionOptions{}.stall_timeout, options.silence_timeout / 2),
          .silence_timeout = options.silence_timeout,
          .reconnect_timeout = options.reconnect_timeout,
          .outage_timeout = options.outage_timeout,
          .allowed_kinds = options.allowed_kinds};
}

std::uint64_t draw_incarnation(RandomSource& random) {
  return std::bit_cast<std::uint64_t>(random.bytes<sizeof(std::uint64_t)>()) | 1;  // not 0
}

TimePoint after(TimePoint now, Duration duration) {
  return duration >= TimePoint::max() - now ? TimePoint::max() : now + duration;
}

}  // namespace

Hub::Hub(NodeOptions options, os::Loop& loop, Transport& transport, RandomSource& random,
         HubOwner& owner, Log& log)
    : options_(std::move(options)),
      loop_(loop),
      transport_(transport),
      random_(random),
      owner_(owner),
      warnings_(log),
      up_rate_(options_.up_rate_bytes_per_s, loop.now()) {}

Hub::~Hub() = default;

// ---- Who there is.

void Hub::admit(std::unique_ptr<Company> company) {
  company_ = std::move(company);
  transport_.admit(*company_, [this](const std::string& whom) { refused(whom); });
}

Endpoint Hub::listen(const Endpoint& endpoint) {
  auto listening = transport_.listen({.endpoint = endpoint, .key = options_.key});
  if (!listening.remark.empty()) warnings_.warn(listening.remark, loop_.now());
  enter(std::move(listening.source));
  return listening.bound;
}

PathSource& Hub::enter(std::unique_ptr<PathSource> source) {
  PathSource& entered = *source;
  Source& known = sources_[&entered];
  known.source = std::move(source);
  known.entry = std::make_unique<LoopEntry>(
      loop_, LoopEntry::Polled{
                 .add_poll_items = [&entered](auto& items) { entered.add_poll_items(items); },
                 .process = [this, &entered] { look_at(entered); },
                 .next_tick = [&entered] { return entered.next_tick(); }});
  return entered;
}

void Hub::look_at(PathSource& source) {
  looked_at_ = &source;
  source.process(*this, loop_.now());
  looked_at_ = nullptr;
}

// Never from within a look at it: only what the application wants, and what is deferred, ends one.
void Hub::leave(PathSource& source) { sources_.erase(&source); }

Hub::Peer& Hub::add_peer(PeerHandle peer, StageIndex stage, std::string name) {
  SessionOptions terms = common_terms(options_);
  terms.peer = stage;
  terms.peer_name = std::move(name);
  terms.incarnation = draw_incarnation(random_);
  terms.credit_window = next_credit_window();
  Peer& known = peers_.emplace(peer, Session(terms, loop_.now())).first->second;
  known.terms = std::move(terms);
  known.timer = loop_.timer([this, peer] {
    if (Peer* due = find(peer)) serve_later(peer, *due);
  });
  serve_later(peer, known);
  return known;
}

// Half of what is left of the limit, but no more than is wanted, and something in any case: all
// peers together may send ahead what the limit says and the least window of each.
ByteCount Hub::next_credit_window() const {
  std::uint64_t given = 0;
  for (const auto& [peer, known] : peers_) {
    given += wire::kUrgencies * known.terms.credit_window.value();
  }
  const std::uint64_t limit = options_.receive_limit.value();
  const std::uint64_t left = limit - std::min(limit, given);
  return ByteCount(
      std::clamp(left / (2 * wire::kUrgencies), kMinCreditWindow, options_.credit_window.value()));
}

void Hub::expect(PeerHandle peer, StageIndex stage, std::string name) {
  expected_.insert(peer);
  add_peer(peer, stage, std::move(name));
}

void Hub::seek(PeerHandle peer, StageIndex stage, std::string name, const Endpoint& endpoint,
               Duration appear_within) {
  Peer& known = add_peer(peer, stage, std::move(name));
  known.appear_within = appear_within;
  known.appear_by = after(loop_.now(), appear_within);
  for (int i = 0; i <= options_.connections; ++i) {
    const wire::Purpose purpose = i == 0 ? wire::Purpose::control : wire::Purpose::bulk;
    known.diallers.push_back(&enter(transport_.dial({.peer = peer,
                                                     .link = introduce_link(purpose, random_),
                                                     .endpoint = endpoint,
                                                     .key = options_.key,
                                                     .when_refused = options_.when_refused})));
  }
}

void Hub::meet(std::unique_ptr<PathSource> meeting) { meeting_ = &enter(std::move(meeting)); }

Hub::Peer* Hub::find(PeerHandle peer) {
  const auto found = peers_.find(peer);
  return found == peers_.end() ? nullptr : &found->second;
}

// ---- What the application wants.

void Hub::send(PeerHandle to, wire::Urgency urgency, Rank rank, wire::Message message) {
  Peer* known = find(to);
  if (known == nullptr) return;
  known->taken_cost += message_cost(message.payload.size());
  known->session.send(urgency, std::move(message), rank);
  serve_later(to, *known);
}

void Hub::consumed(PeerHandle peer, wire::Urgency urgency, std::uint64_t cost) {
  Peer* known = find(peer);
  if (known == nullptr) return;
  known->session.consumed(urgency, cost, loop_.now());
  serve_later(peer, *known);
}

void Hub::dismiss(PeerHandle peer, const std::string& why) {
  Peer* known = find(peer);
  if (known == nullptr || known->status.lost()) return;
  known->session.say_goodbye(true, why);
  pump(peer, *known);
  known->status.loss = Loss::refused;
  known->status.failure.emplace(ErrorKind::unavailable,
                                fmt::format("{} was sent away: {}", known->terms.peer_name, why));
  serve_later(peer, *known);
}

void Hub::forget(PeerHandle peer) {
  Peer* known = find(peer);
  if (known == nullptr) return owner_.gone(peer);
  known->session.say_goodbye(false, "");
  known->forget_by = loop_.now() + kFarewellTime;
  serve_later(peer, *known);
}

void Hub::remove(PeerHandle peer) {
  close_paths_of(peer);
  for (PathSource* source : peers_.at(peer).diallers) leave(*source);
  if (company_) company_->left(peer);
  if (meeting_ != nullptr) meeting_->session_moved(peer, "", "");
  peers_.erase(peer);
  owner_.gone(peer);
}

void Hub::settle() {
  for (auto& [peer, known] : peers_) known.session.settle();
}

void Hub::allow(RouteKinds kinds) {
  options_.allowed_kinds = kinds;  // of peers to come
  for (auto& [peer, known] : peers_) {
    known.session.allow(kinds, loop_.now());
    serve_later(peer, known);
  }
}

void Hub::say_goodbye(const std::string& reason) {
  if (company_) company_->admit_no_more();
  for (auto& [peer, known] : peers_) {
    known.session.say_goodbye(!reason.empty(), reason);
    serve_later(peer, known);
  }
}

// ---- What sources report.

LinkId Hub::next_path_id() { return LinkId(++path_ids_); }

void Hub::path_opened(Path& path, PeerHandle peer) {
  Peer* known = find(peer);
  if (known == nullptr) {
    if (expected_.contains(peer)) return;  // it has left: nobody answers
    // Only the company hands out handles, and a new one is of someone it has let in.
    WorkerId id = company_->id_of(peer);
    std::string name = id.name;
    if (name.empty()) {
      name = "client at " + path.name();
      id.name = fmt::format("{} ({})", name, peer.value());
    }
    owner_.came(peer, id);
    known = &add_peer(peer, options_.counterpart, name);
    // Whom it has let in once and who comes back as someone else is turned away, not the session.
    known->session.settle();
    known->appear_within = kIntroductionTimeout;
    known->appear_by = after(loop_.now(), kIntroductionTimeout);
  }
  paths_[path.id()] = {&path, peer, looked_at_};
  known->session.link_opened(path.id(), path.route(), path.introduction(), loop_.now());
  serve_later(peer, *known);
}

void Hub::path_lost(LinkId id) {
  const auto found = paths_.find(id);
  if (found == paths_.end()) return;
  const PeerHandle peer = found->second.peer;
  paths_.erase(found);
  Peer& known = peers_.at(peer);
  known.session.link_lost(id, loop_.now());
  serve_later(peer, known);
  const auto leads_there = [peer](const auto& entry) { return entry.second.peer == peer; };
  if (meeting_ == nullptr || std::ranges::any_of(paths_, leads_there)) return;
  meeting_->last_path_ended(peer, loop_.now());
  sources_.at(meeting_).entry->touched();
}

void Hub::arrived(LinkId id, Arrival arrival) {
  const auto found = paths_.find(id);
  if (found == paths_.end()) return;
  const PeerHandle peer = found->second.peer;
  Peer& known = peers_.at(peer);
  if (known.given_up) return;
  LinkTraffic& traffic = meter(found->second);
  traffic.rx_payload = ByteCount(traffic.rx_payload.value() + arrival.bytes.payload);
  traffic.rx_overhead = ByteCount(traffic.rx_overhead.value() + arrival.bytes.overhead);
  try {
    known.session.arrived(id, std::move(arrival.frame), arrival.ordinal, loop_.now());
  } catch (const std::bad_alloc&) {
    return give_up(peer, known, "there is no memory for what it sends");
  }
  begin_again_if_restarted(peer, known);
  // That a peer is there becomes known before its first message; that we refuse it, when it has
  // been told: whoever hears of it may end us.
  if (known.status.state == Session::State::waiting && !known.session.failure()) {
    known.changed = true;
    report(peer, known);
  }
  // At once, not at the end of the round: what has arrived is what somebody waits for.
  while (auto received = known.session.receive()) {
    owner_.delivered(peer, received->urgency, std::move(received->message));
  }
  serve_later(peer, known);
}

// One session is lost, and the others go on. Its paths end when no source is at work.
void Hub::give_up(PeerHandle peer, Peer& known, const std::string& why) {
  known.given_up = true;
  known.status.loss = Loss::failed;
  known.status.failure.emplace(ErrorKind::try_again,
                               fmt::format("{}: {}", known.terms.peer_name, why));
  serve_later(peer, known);
}

void Hub::attempt_failed(PeerHandle peer, const Error& why, bool permanent) {
  Peer* known = find(peer);
  if (known == nullptr) return;
  known->status.last_attempt = why.what();
  if (why.kind() == ErrorKind::try_again) known->status.obstacle = why.what();
  if (permanent && known->session.state() == Session::State::waiting) {
    known->status.loss = Loss::refused;
    known->status.hopeless.emplace(
        why.kind(), fmt::format("{}: {}", known->terms.peer_name, why.what()), why.hint());
  }
  serve_later(peer, *known);
}

void Hub::host_answered(PeerHandle peer) {
  Peer* known = find(peer);
  if (known == nullptr) return;
  known->session.host_answered(loop_.now());
  serve_later(peer, *known);
}

void Hub::peer_is_absent(PeerHandle peer) {
  Peer* known = find(peer);
  if (known == nullptr) return;
  known->session.peer_is_absent();
  serve_later(peer, *known);
}

void Hub::peer_is_barred(PeerHandle peer) {
  Peer* known = find(peer);
  if (known == nullptr) return;
  for (const LinkId id : links_of(peer)) {
    close_path(id);
    known->session.link_lost(id, loop_.now());
  }
  serve_later(peer, *known);
}

void Hub::refused(const std::string& why) { warnings_.warn("refused " + why, loop_.now()); }

// ---- What sessions say.

void Hub::serve_later(PeerHandle peer, Peer& known) {
  known.changed = true;
  if (std::exchange(known.due, true)) return;
  due_.push_back(peer);
  if (due_.size() == 1) loop_.defer([this] { serve_all(); });
}

void Hub::serve_all() {
  for (const PeerHandle peer : std::exchange(due_, {})) {
    Peer* known = find(peer);
    if (known == nullptr) continue;
    known->due = false;
    serve(peer, *known);
  }
}

void Hub::serve(PeerHandle peer, Peer& known) {
  if (known.given_up) close_paths_of(peer);
  known.session.tick(loop_.now());
  expire(known);
  pump(peer, known);
  close_discarded(known);
  report(peer, known);
  if (known.forget_by && (known.session.drained() || loop_.now() >= *known.forget_by)) {
    return remove(peer);
  }
  TimePoint next = known.session.next_tick();
  if (known.appear_by) next = std::min(next, *known.appear_by);
  if (known.forget_by) next = std::min(next, *known.forget_by);
  if (known.session.data_waits() && !up_rate_.ready(loop_.now())) {
    next = std::min(next, up_rate_.ready_at());
  }
  known.timer->set(next);
}

void Hub::pump(PeerHandle peer, Peer& known) {
  for (int i = 0; i < kFramesPerRound; ++i) {
    const auto outgoing = known.session.next_frame(
        loop_.now(), up_rate_.ready(loop_.now()) ? Session::DataMay::go : Session::DataMay::wait);
    if (!outgoing) return;
    known.changed = true;
    send(*outgoing);
  }
  serve_later(peer, known);
}

void Hub::send(const Session::Outgoing& outgoing) {
  const auto found = paths_.find(outgoing.link);
  if (found == paths_.end()) return;
  const OpenPath open = found->second;
  const auto bytes = open.path->send(outgoing.frame, outgoing.ordinal);
  if (!bytes) {
    open.source->close(outgoing.link, loop_.now());
    sources_.at(open.source).entry->touched();
    return path_lost(outgoing.link);
  }
  sources_.at(open.source).entry->touched();
  up_rate_.spend(ByteCount(bytes->payload + bytes->overhead), loop_.now());
  LinkTraffic& traffic = meter(open);
  traffic.tx_payload = ByteCount(traffic.tx_payload.value() + bytes->payload);
  traffic.tx_overhead = ByteCount(traffic.tx_overhead.value() + bytes->overhead);
}

void Hub::close_discarded(Peer& known) {
  for (const LinkId id : known.session.take_discarded_links(loop_.now())) close_path(id);
  for (const std::string& warning : known.session.take_warnings()) {
    warnings_.warn(warning, loop_.now());
  }
}

void Hub::close_path(LinkId id) {
  const auto found = paths_.find(id);
  if (found == paths_.end()) return;
  PathSource* const source = found->second.source;
  paths_.erase(found);
  source->close(id, loop_.now());
  sources_.at(source).entry->touched();
}

std::vector<LinkId> Hub::links_of(PeerHandle peer) const {
  std::vector<LinkId> open;
  for (const auto& [id, path] : paths_) {
    if (path.peer == peer) open.push_back(id);
  }
  return open;
}

void Hub::close_paths_of(PeerHandle peer, std::optional<LinkId> but) {
  for (const LinkId id : links_of(peer)) {
    if (id != but) close_path(id);
  }
}

void Hub::expire(Peer& known) {
  if (!known.appear_by) return;
  if (known.session.state() != Session::State::waiting) return known.appear_by.reset();
  if (loop_.now() < *known.appear_by || known.status.failure) return;
  const std::string& why = known.status.last_attempt;
  known.status.loss = Loss::failed;
  known.status.failure.emplace(
      ErrorKind::unavailable,
      fmt::format("{} did not answer within {:.0f} s{}", known.terms.peer_name,
                  seconds(known.appear_within), why.empty() ? "" : " (" + why + ")"));
  known.appear_by.reset();
}

// Its loss is told; then the session of its successor begins, with the hello that told of it.
void Hub::begin_again_if_restarted(PeerHandle peer, Peer& known) {
  const auto successor = known.session.successor();
  if (!successor) return;
  known.changed = true;
  report(peer, known);
  close_paths_of(peer, successor->link);
  known.terms.incarnation = draw_incarnation(random_);
  known.session = Session(known.terms, loop_.now());
  known.session.settle();
  const Traffic traffic = known.status.traffic;
  known.status = {};
  known.status.traffic = traffic;
  known.taken_cost = 0;
  const auto open = paths_.find(successor->link);
  if (open == paths_.end()) return;
  const Path& path = *open->second.path;
  known.session.link_opened(path.id(), path.route(), path.introduction(), loop_.now());
  known.session.arrived(path.id(), successor->hello, 1, loop_.now());
}

LinkTraffic& Hub::meter(const OpenPath& path) {
  Traffic& traffic = peers_.at(path.peer).status.traffic;
  const bool control = path.path->introduction().purpose == wire::Purpose::control;
  return control ? traffic.control : traffic.bulk;
}

void Hub::report(PeerHandle peer, Peer& known) {
  if (!std::exchange(known.changed, false)) return;
  PeerStatus& status = known.status;
  const Session& session = known.session;
  status.state = session.state();
  if (session.failure()) {
    status.failure = session.failure();
    status.loss = session.loss();
  }
  status.drained = session.drained();
  status.acknowledged_cost = known.taken_cost - session.queued_cost();
  status.traffic.reconnects = session.reconnects();
  status.traffic.refused_frames = session.refused_frames();
  status.traffic.repeated_frames = session.repeated_frames();
  const RouteChoice& choice = session.choice_of(wire::Purpose::bulk);
  const auto open = choice.link() ? paths_.find(*choice.link()) : paths_.end();
  std::string path = open == paths_.end() ? "" : open->second.path->name();
  const std::size_t connections = session.links_in_use(wire::Purpose::bulk);
  if (!path.empty() && connections > 1) path += fmt::format(" ({} connections)", connections);
  if (path != status.traffic.path && !path.empty() && meeting_ != nullptr) {
    meeting_->session_moved(peer, path, choice.why());
  }
  status.outage = session.outage();
  if (!path.empty()) status.last_path = path;
  status.traffic.path = std::move(path);
  status.traffic.route = choice.route();
  status.traffic.why = choice.why();
  status.traffic.path_changes = choice.changes();
  status.traffic.round_trip = session.round_trip();
  known.sending.observe(known.taken_cost, status.acknowledged_cost, status.traffic.round_trip,
                        loop_.now());
  status.traffic.sending = known.sending.busy();
  status.traffic.sent = ByteCount(known.sending.bytes());
  owner_.published(peer, status);
}

}  // namespace ptrain::net
