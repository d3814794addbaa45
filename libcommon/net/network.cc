#include "libcommon/net/network.h"

#include <algorithm>
#include <random>
#include <utility>

#include <fmt/format.h>

#include "libcommon/net/bundle_dialer.h"
#include "libcommon/net/dialer.h"
#include "libcommon/net/zmq_parts.h"

namespace ptrain::net {
namespace {

// Frames one session may put out before the sockets are read again: 16 MiB at most.
constexpr int kFramesPerRound = 16;

std::uint64_t draw_incarnation() {
  std::random_device device;
  std::uniform_int_distribution<std::uint64_t> any(1);
  return any(device);
}

}  // namespace

Network::Network(NetworkOptions options, Exchange& exchange, Log& log, const Clock& clock)
    : options_(std::move(options)),
      exchange_(exchange),
      clock_(clock),
      warnings_(log),
      context_(1),
      gate_(*this),
      now_(clock.now()) {}

Network::~Network() = default;

// ---- Who there is.

void Network::admit(std::unique_ptr<Admission> admission) {
  admission_ = std::move(admission);
  if (options_.key) zap_ = std::make_unique<ZapHandler>(context_, *admission_);
}

void Network::listen(const Endpoint& endpoint) {
  listener_ = std::make_unique<Listener>(
      context_, ListenerOptions{.listen = endpoint, .key = options_.key}, *admission_);
}

Network::PeerLink& Network::add_link(PeerHandle peer, StageIndex stage, std::string name) {
  SessionOptions terms = options_.terms;
  terms.peer = stage;
  terms.peer_name = name;
  terms.incarnation = draw_incarnation();
  PeerLink& link = links_.emplace(peer, Session(std::move(terms), now_)).first->second;
  exchange_.add(peer, name);
  link.name = std::move(name);
  return link;
}

void Network::expect(PeerHandle peer, StageIndex stage, std::string name) {
  add_link(peer, stage, std::move(name));
}

void Network::dial(PeerHandle peer, StageIndex stage, std::string name, const Endpoint& endpoint) {
  PeerLink& link = add_link(peer, stage, std::move(name));
  for (const auto channel : wire::kAllChannels) {
    link.diallers.push_back(make_dialler(peer, channel, endpoint));
  }
}

std::unique_ptr<PathSource> Network::make_dialler(PeerHandle peer, wire::Channel channel,
                                                  const Endpoint& endpoint) {
  const DialerOptions dialer{
      .peer = peer, .channel = channel, .endpoint = endpoint, .key = options_.key};
  return bundled(channel == wire::Channel::bulk ? options_.connections : 1, random_,
                 [&] { return std::make_unique<Dialer>(context_, dialer); });
}

Network::PeerLink* Network::find(PeerHandle peer) {
  const auto found = links_.find(peer);
  return found == links_.end() ? nullptr : &found->second;
}

// ---- The loop.

void Network::run() {
  while (true) {
    now_ = clock_.now();
    const bool go_on = obey(exchange_.take_orders());
    more_to_send_ = false;
    for (auto& [peer, link] : links_) {
      link.session.tick(now_);
      expire(link);
      pump(link);
      close_discarded(link);
      report(peer, link);
    }
    if (!go_on) return;
    wait();
    now_ = clock_.now();
    read_sockets();
  }
}

bool Network::obey(Orders orders) {
  for (const auto& [peer, endpoint] : orders.dial) {
    dial(peer, options_.counterpart, zmq_address(endpoint), endpoint);
    if (options_.appear_timeout) links_.at(peer).appear_by = now_ + *options_.appear_timeout;
  }
  for (auto& [peer, message] : orders.outgoing) {
    PeerLink* link = find(peer);
    if (link == nullptr) continue;
    link->taken_cost += message_cost(message.payload.size());
    link->session.send(std::move(message));
    link->changed = true;
  }
  for (const auto& [peer, costs] : orders.consumed_cost) {
    PeerLink* link = find(peer);
    if (link == nullptr) continue;
    link->session.consumed(wire::Channel::control, costs[0], now_);
    link->session.consumed(wire::Channel::bulk, costs[1], now_);
  }
  for (const auto& [peer, why] : orders.dismiss) dismiss(peer, why);
  for (const PeerHandle peer : orders.forget) forget(peer);
  for (auto& [peer, link] : links_) {
    if (orders.settle) link.session.settle();
    if (orders.allow) link.session.allow(*orders.allow, now_);
    if (orders.goodbye) link.session.say_goodbye(!orders.goodbye->empty(), *orders.goodbye);
    link.changed = link.changed || orders.goodbye.has_value() || orders.allow.has_value();
  }
  if (orders.allow) options_.terms.allowed_kinds = *orders.allow;  // of peers to come
  if (orders.goodbye && admission_) admission_->admit_no_more();
  return !orders.stop;
}

void Network::dismiss(PeerHandle peer, const std::string& why) {
  PeerLink* link = find(peer);
  if (link == nullptr || link->status.lost()) return;
  link->session.say_goodbye(true, why);
  pump(*link);
  link->status.failure.emplace(ErrorKind::unavailable,
                               fmt::format("{} was sent away: {}", link->name, why));
  link->changed = true;
}

void Network::forget(PeerHandle peer) {
  PeerLink* link = find(peer);
  if (link == nullptr) return;
  link->session.say_goodbye(false, "");
  pump(*link);
  std::vector<PathId> open;
  for (const auto& [id, path] : paths_) {
    if (path.peer == peer) open.push_back(id);
  }
  for (const PathId id : open) close_path(*link, id);
  if (admission_) admission_->left(peer);
  links_.erase(peer);
}

void Network::wait() {
  std::vector<zmq_pollitem_t> items{{nullptr, exchange_.wake_fd(), ZMQ_POLLIN, 0}};
  if (listener_) listener_->add_poll_items(items);
  if (zap_) zap_->add_poll_items(items);
  TimePoint until = more_to_send_ ? now_ : gate_.next_tick();
  for (auto& source : sources_) {
    source->add_poll_items(items);
    until = std::min(until, source->next_tick());
  }
  for (auto& [peer, link] : links_) {
    until = std::min(until, link.session.next_tick());
    if (link.appear_by) until = std::min(until, *link.appear_by);
    for (auto& dialler : link.diallers) {
      dialler->add_poll_items(items);
      until = std::min(until, dialler->next_tick());
    }
  }
  long timeout_ms = -1;
  if (until != TimePoint::max()) {
    const auto rest = std::chrono::ceil<std::chrono::milliseconds>(until - now_);
    timeout_ms = std::max<long>(0, static_cast<long>(rest.count()));
  }
  zmq::poll(items.data(), items.size(), std::chrono::milliseconds(timeout_ms));
}

void Network::read_sockets() {
  if (zap_) zap_->process(*this);
  gate_.tick(now_);
  if (listener_) listener_->process(gate_, now_);
  for (auto& source : sources_) source->process(gate_, now_);
  for (const PathId strand : gate_.take_discarded()) close_accepted(strand);
  for (const PeerHandle peer : gate_.take_abandoned()) {
    if (admission_ && find(peer) == nullptr) admission_->left(peer);
  }
  for (auto& [peer, link] : links_) {
    for (auto& dialler : link.diallers) dialler->process(*this, now_);
  }
}

// ---- What paths report.

PathId Network::next_path_id() { return PathId(++path_ids_); }

void Network::path_opened(Path& path, PeerHandle peer, wire::Channel channel) {
  PeerLink* known = find(peer);
  // Only the admission hands out handles, and a new one is of someone it has let in.
  PeerLink& link =
      known != nullptr ? *known : add_link(peer, options_.counterpart, "client at " + path.name());
  // Whom it has let in once and who comes back as someone else is turned away, not the session.
  if (known == nullptr) link.session.settle();
  paths_[path.id()] = {&path, peer, channel};
  link.session.path_opened(path.id(), path.route(), channel, now_);
  link.changed = true;
}

void Network::path_lost(PathId id) {
  const auto found = paths_.find(id);
  if (found == paths_.end()) return;
  PeerLink& link = links_.at(found->second.peer);
  link.session.path_lost(id, now_);
  link.changed = true;
  paths_.erase(found);
}

void Network::arrived(PathId id, Arrival arrival) {
  const auto found = paths_.find(id);
  if (found == paths_.end()) return;
  ChannelTraffic& traffic = meter(found->second);
  traffic.rx_payload = ByteCount(traffic.rx_payload.value() + arrival.bytes.payload);
  traffic.rx_overhead = ByteCount(traffic.rx_overhead.value() + arrival.bytes.overhead);
  const PeerHandle peer = found->second.peer;
  PeerLink& link = links_.at(peer);
  link.session.arrived(id, std::move(arrival.frame), now_);
  link.changed = true;
  // That a peer is there becomes known before its first message.
  if (link.status.state == Session::State::waiting) report(peer, link);
  // At once, not at the end of the round: what has arrived is what a stage waits for.
  while (auto message = link.session.receive()) exchange_.deliver(peer, std::move(*message));
}

void Network::attempt_failed(PeerHandle peer, const std::string& why, ErrorKind kind,
                             bool permanent) {
  PeerLink& link = links_.at(peer);
  link.status.last_attempt = why;
  if (permanent && link.session.state() == Session::State::waiting) {
    link.status.hopeless.emplace(kind, fmt::format("{}: {}", link.name, why),
                                 "give that peer our endpoint with its #KEY");
  }
  link.changed = true;
}

void Network::host_answered(PeerHandle peer) {
  PeerLink& link = links_.at(peer);
  link.session.host_answered(now_);
  link.changed = true;
}

void Network::refused(const std::string& why) { warnings_.warn("refused " + why, now_); }

ChannelTraffic& Network::meter(const OpenPath& path) {
  Traffic& traffic = links_.at(path.peer).status.traffic;
  return path.channel == wire::Channel::control ? traffic.control : traffic.bulk;
}

// ---- What sessions say.

void Network::pump(PeerLink& link) {
  for (int i = 0; i < kFramesPerRound; ++i) {
    const auto outgoing = link.session.next_frame(now_);
    if (!outgoing) return;
    link.changed = true;
    send(*outgoing);
  }
  more_to_send_ = true;
}

void Network::send(const Session::Outgoing& outgoing) {
  const auto found = paths_.find(outgoing.path);
  if (found == paths_.end()) return;
  const auto bytes = found->second.path->send(outgoing.frame, kNoOrdinal);
  if (!bytes) {
    close_sources(links_.at(found->second.peer), outgoing.path);
    return path_lost(outgoing.path);
  }
  ChannelTraffic& traffic = meter(found->second);
  traffic.tx_payload = ByteCount(traffic.tx_payload.value() + bytes->payload);
  traffic.tx_overhead = ByteCount(traffic.tx_overhead.value() + bytes->overhead);
}

void Network::close_discarded(PeerLink& link) {
  for (const PathId id : link.session.take_discarded_paths(now_)) {
    close_path(link, id);
    link.changed = true;
  }
  for (const std::string& warning : link.session.take_warnings()) warnings_.warn(warning, now_);
}

void Network::close_path(PeerLink& link, PathId id) {
  close_sources(link, id);
  paths_.erase(id);
}

void Network::close_sources(PeerLink& link, PathId id) {
  for (const PathId strand : gate_.close(id)) close_accepted(strand);
  for (auto& dialler : link.diallers) dialler->close(id, now_);
  close_accepted(id);
}

void Network::close_accepted(PathId id) {
  if (listener_) listener_->close(id, now_);
  for (auto& source : sources_) source->close(id, now_);
}

void Network::expire(PeerLink& link) {
  if (!link.appear_by) return;
  if (link.session.state() != Session::State::waiting) return link.appear_by.reset();
  if (now_ < *link.appear_by || link.status.failure) return;
  const std::string& why = link.status.last_attempt;
  link.status.failure.emplace(
      ErrorKind::unavailable,
      fmt::format("{} did not answer within {:.0f} s{}", link.name,
                  seconds(*options_.appear_timeout), why.empty() ? "" : " (" + why + ")"));
  link.appear_by.reset();
  link.changed = true;
}

void Network::report(PeerHandle peer, PeerLink& link) {
  if (link.session.failure() && !link.status.failure) link.changed = true;
  if (!std::exchange(link.changed, false)) return;
  PeerStatus& status = link.status;
  status.state = link.session.state();
  if (link.session.failure()) status.failure = link.session.failure();
  status.drained = link.session.drained();
  status.acknowledged_cost = link.taken_cost - link.session.queued_cost();
  status.traffic.reconnects = link.session.reconnects();
  status.traffic.refused_frames = link.session.refused_frames();
  status.traffic.repeated_frames = link.session.repeated_frames();
  const RouteChoice& choice = link.session.choice_of(wire::Channel::bulk);
  const auto open = choice.path() ? paths_.find(*choice.path()) : paths_.end();
  std::string path = open == paths_.end() ? "" : open->second.path->name();
  if (path != status.traffic.path && !path.empty()) {
    for (auto& source : sources_) source->session_moved(peer, path, choice.why());
  }
  status.traffic.path = std::move(path);
  status.traffic.route = choice.route();
  status.traffic.why = choice.why();
  status.traffic.path_changes = choice.changes();
  status.traffic.round_trip = link.session.round_trip();
  exchange_.publish(peer, status);
}

}  // namespace ptrain::net
