#include "libcommon/net/mesh.h"

#include <algorithm>
#include <chrono>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <utility>

#include <fmt/format.h>

#include "libcommon/base/error.h"
#include "libcommon/net/credit.h"
#include "libcommon/net/endpoint_rules.h"
#include "libcommon/net/stage_admission.h"
#include "libcommon/wire/envelope.h"

namespace ptrain::net {
namespace {

constexpr Duration kStopQuestionInterval = std::chrono::milliseconds(100);

bool dials(StageIndex self, StageIndex peer) { return self > peer; }

bool is_dialled(const MeshOptions& options) {
  return std::ranges::any_of(options.peers,
                             [&](const Peer& peer) { return !dials(options.self, peer.stage); });
}

WorkerId worker_of(StageIndex stage) {
  return {.key = std::nullopt, .name = fmt::format("stage-{}", stage.value())};
}

void check_peer(const MeshOptions& options, const Peer& peer) {
  const Endpoint& endpoint = peer.endpoint;
  const std::string who = fmt::format("{} at {}", options.called(peer.stage), to_string(endpoint));
  if (peer.stage == options.self) {
    throw Error(ErrorKind::usage, who + ": that is ourselves", "name only the other stages");
  }
  if (options.meeting) return;
  if (dials(options.self, peer.stage)) {
    check_dialled(endpoint, options.key.has_value(), who);
  } else if (options.key && !endpoint.key) {
    throw Error(ErrorKind::usage, who + ": it dials us and cannot be admitted without its key",
                kKeyHint);
  }
}

void check(const MeshOptions& options) {
  if (!options.listen && !options.meeting && is_dialled(options)) {
    throw Error(ErrorKind::usage, "neither an endpoint to listen at nor a ticket");
  }
  if (options.meeting && !options.key) {
    throw Error(ErrorKind::internal, "a meeting without a key of our own");
  }
  std::set<StageIndex> seen;
  for (const Peer& peer : options.peers) {
    check_peer(options, peer);
    if (!seen.insert(peer.stage).second) {
      throw Error(ErrorKind::usage, options.called(peer.stage) + " is given twice",
                  "name every stage once");
    }
  }
}

std::string when_refused(const MeshOptions& options) {
  if (!options.key) return "";
  return fmt::format(
      "there, the endpoint of stage {0} (its line of --endpoints, or --peer {0}=) must "
      "end in #{1}",
      options.self.value(), to_hex(options.key->public_key()));
}

NodeOptions node_options(const MeshOptions& options) {
  return {.introduction = options.introduction,
          .self = options.self,
          .key = options.key,
          .listen = options.listen,
          .when_refused = when_refused(options),
          .connections = options.connections,
          .credit_window = options.credit_window,
          .message_limit = options.message_limit,
          .queue_limit = options.queue_limit,
          .queues_limit = options.queues_limit,
          .low_water = options.low_water,
          .up_rate_bytes_per_s = options.up_rate_bytes_per_s,
          .silence_timeout = options.silence_timeout,
          .reconnect_timeout = options.reconnect_timeout,
          .outage_timeout = options.outage_timeout,
          .allowed_kinds = options.allowed_kinds};
}

// Those who dial us, each with its key. Who is met brings its own.
std::unique_ptr<StageAdmission> admission_for(const MeshOptions& options) {
  std::map<StageIndex, std::optional<PublicKey>> admitted;
  std::set<StageIndex> met;
  for (const Peer& peer : options.peers) {
    if (options.meeting) {
      met.insert(peer.stage);
    } else if (!dials(options.self, peer.stage)) {
      admitted[peer.stage] = peer.endpoint.key;
    }
  }
  auto admission = std::make_unique<StageAdmission>(std::move(admitted), options.key.has_value());
  admission->meets(options.self, std::move(met));
  return admission;
}

bool is_decided(const PeerStatus& status) {
  return status.state != Session::State::waiting || status.hopeless.has_value();
}

}  // namespace

class Mesh::Impl {
 public:
  Impl(MeshOptions options, Log& log, const Clock& clock)
      : options_(std::move(options)),
        clock_(clock),
        node_(node_options(options_), admission_for(options_), log, clock) {
    begin();
  }
  Impl(MeshOptions options, Log& log, const Clock& clock, NodeGround ground)
      : options_(std::move(options)),
        clock_(clock),
        node_(node_options(options_), admission_for(options_), log, ground) {
    begin();
  }

  Node& node() { return node_; }
  bool peers_are_here(Duration within = Duration::zero());
  void await_peers(const std::function<bool()>& stop);
  void send(StageIndex to, wire::Message message);
  std::optional<MeshEvent> next(Duration timeout);
  std::optional<wire::Message> receive(Duration timeout);
  ByteCount queued(StageIndex to) const { return node_.queued(worker_of(to)); }
  Traffic traffic(StageIndex peer) const;
  bool departed(StageIndex peer) const;
  std::string missing() const;
  std::vector<LostLink> lost_links() const;

 private:
  void begin() {
    node_.when_abandoned_say(
        fmt::format("{} ended without finishing", options_.called(options_.self)));
    for (const Peer& peer : options_.peers) {
      const std::string name = options_.called(peer.stage);
      if (!options_.meeting && dials(options_.self, peer.stage)) {
        node_.seek(worker_of(peer.stage), peer.endpoint, peer.stage,
                   fmt::format("{} at {}", name, zmq_address(peer.endpoint)));
      } else {
        node_.expect(worker_of(peer.stage), peer.stage, name);
      }
    }
    if (options_.meeting) node_.meet(*options_.meeting, role_of(options_.self));
    node_.start();
  }

  std::optional<StageIndex> stage_of(const WorkerId& worker) const;
  MeshLoss lose(StageIndex stage, std::optional<Error> error, Traffic traffic);
  void throw_if_refused() const;
  bool lost() const {
    const std::lock_guard lock(mutex_);
    return failure_.has_value();
  }
  void throw_if_lost() const;
  Error absence() const;

  MeshOptions options_;
  const Clock& clock_;
  Node node_;
  mutable std::mutex mutex_;            // of what is below
  std::optional<Error> failure_;        // the first
  std::map<StageIndex, Traffic> left_;  // who said goodbye, or was lost, with its last traffic
  std::set<StageIndex> breached_;       // who spoke for another; of the thread that calls next()
};

void Mesh::Impl::await_peers(const std::function<bool()>& stop) {
  const TimePoint deadline = clock_.now() + options_.connect_timeout;
  while (!peers_are_here(kStopQuestionInterval)) {
    if (stop()) return;
    if (clock_.now() >= deadline) throw absence();
  }
}

bool Mesh::Impl::peers_are_here(Duration within) {
  const bool decided = node_.wait(within, is_decided);
  throw_if_refused();
  if (decided) node_.settle();
  return decided;
}

void Mesh::Impl::throw_if_refused() const {
  for (const Peer& peer : options_.peers) {
    const auto status = node_.status(worker_of(peer.stage));
    if (status && status->failure) throw Error(*status->failure);
    if (status && status->hopeless) throw Error(*status->hopeless);
  }
}

std::string Mesh::Impl::missing() const {
  std::string who;
  for (const Peer& peer : options_.peers) {
    const auto status = node_.status(worker_of(peer.stage));
    if (!status || status->state != Session::State::waiting) continue;
    if (!who.empty()) who += "; ";
    if (options_.meeting) {
      who += fmt::format("{} ({})", options_.called(peer.stage),
                         status->last_attempt.empty() ? "it has not registered with our relays"
                                                      : status->last_attempt);
    } else if (dials(options_.self, peer.stage)) {
      who += fmt::format("{} at {} ({})", options_.called(peer.stage), zmq_address(peer.endpoint),
                         status->last_attempt.empty() ? "no answer" : status->last_attempt);
    } else {
      who += fmt::format("{} did not dial {}", options_.called(peer.stage),
                         zmq_address(node_.listening()));
    }
  }
  return who;
}

Error Mesh::Impl::absence() const {
  std::string who = missing();
  std::string obstacle;
  for (const Peer& peer : options_.peers) {
    const auto status = node_.status(worker_of(peer.stage));
    if (!status || status->state != Session::State::waiting) continue;
    if (obstacle.empty()) obstacle = status->obstacle;
  }
  if (!obstacle.empty()) who += ": " + obstacle;
  return Error(obstacle.empty() ? ErrorKind::unavailable : ErrorKind::try_again,
               fmt::format("not all stages appeared within {:.0f} s: {}",
                           seconds(options_.connect_timeout), who),
               options_.meeting ? "start it with the same ticket, or look whether the relay runs"
                                : "start it, or correct its endpoint");
}

void Mesh::Impl::send(StageIndex to, wire::Message message) {
  const auto broken = [&](ErrorKind kind, const std::string& what, std::string hint = "") {
    return Error(kind, fmt::format("send {}: {}", to_string(message.name), what), std::move(hint));
  };
  if (auto flaw = wire::flaw_of(message.tensor, message.payload.size())) {
    throw broken(ErrorKind::internal, *flaw);
  }
  if (message.payload.size() > options_.message_limit.value()) {
    throw broken(ErrorKind::internal,
                 fmt::format("{} bytes, at most {} allowed", message.payload.size(),
                             options_.message_limit.value()));
  }
  const wire::Urgency urgency = wire::urgency_of(message.name.kind);
  if (node_.send(worker_of(to), urgency, message)) return;
  throw_if_lost();
  const auto status = node_.status(worker_of(to));
  if (status && status->failure) throw Error(*status->failure);
  if (!status || status->lost()) {
    throw broken(ErrorKind::unavailable, options_.called(to) + " has said goodbye");
  }
  const std::uint64_t queued = status->traffic.queued.value();
  const bool alone = queued + message_cost(message.payload.size()) > options_.queue_limit.value();
  throw broken(ErrorKind::unavailable,
               alone ? fmt::format("{} bytes wait for {} already, at most {} allowed", queued,
                                   options_.called(to), options_.queue_limit.value())
                     : fmt::format("{} bytes wait for {}, and for all peers more than the {} that "
                                   "are allowed",
                                   queued, options_.called(to), options_.queues_limit.value()),
               "that stage or the link to it is slower than this one");
}

void Mesh::Impl::throw_if_lost() const {
  const std::lock_guard lock(mutex_);
  if (failure_) throw Error(*failure_);
}

std::optional<StageIndex> Mesh::Impl::stage_of(const WorkerId& worker) const {
  for (const Peer& peer : options_.peers) {
    if (worker_of(peer.stage) == worker) return peer.stage;
  }
  return std::nullopt;
}

MeshLoss Mesh::Impl::lose(StageIndex stage, std::optional<Error> error, Traffic traffic) {
  const std::lock_guard lock(mutex_);
  left_[stage] = std::move(traffic);
  if (error && !failure_) failure_ = error;
  return {stage, std::move(error)};
}

std::optional<MeshEvent> Mesh::Impl::next(Duration timeout) {
  const TimePoint deadline = clock_.now() + timeout;
  while (auto event = node_.next(std::max(deadline - clock_.now(), Duration::zero()))) {
    if (auto* delivery = std::get_if<Delivery>(&*event)) {
      const auto stage = stage_of(delivery->from);
      if (!stage || breached_.contains(*stage)) continue;
      if (options_.speaks_for(*stage, delivery->message.name)) {
        return MeshDelivery{*stage, std::move(delivery->message), std::move(delivery->credit)};
      }
      const std::string what =
          fmt::format("{} has sent {}: in another one's name", options_.called(*stage),
                      to_string(delivery->message.name));
      breached_.insert(*stage);
      Traffic traffic = node_.traffic(delivery->from);
      node_.dismiss(delivery->from, what);
      return lose(*stage, Error(ErrorKind::corrupt, what), std::move(traffic));
    }
    if (const auto* down = std::get_if<Down>(&*event)) {
      const auto stage = stage_of(down->peer);
      if (stage && !breached_.contains(*stage)) return lose(*stage, down->error, down->traffic);
    } else if (const auto* room = std::get_if<net::Room>(&*event)) {
      if (const auto stage = stage_of(room->peer)) return MeshRoom{*stage};
    }
  }
  return std::nullopt;
}

std::optional<wire::Message> Mesh::Impl::receive(Duration timeout) {
  const TimePoint deadline = clock_.now() + timeout;
  // What arrived before a loss is delivered first.
  while (auto event = next(lost() ? Duration::zero() : deadline - clock_.now())) {
    if (auto* delivery = std::get_if<MeshDelivery>(&*event)) return std::move(delivery->message);
  }
  throw_if_lost();
  return std::nullopt;
}

Traffic Mesh::Impl::traffic(StageIndex peer) const {
  if (const auto status = node_.status(worker_of(peer))) return status->traffic;
  const std::lock_guard lock(mutex_);
  const auto left = left_.find(peer);
  return left == left_.end() ? Traffic{} : left->second;
}

std::vector<LostLink> Mesh::Impl::lost_links() const {
  std::vector<LostLink> lost;
  for (const Peer& peer : options_.peers) {
    const auto status = node_.status(worker_of(peer.stage));
    if (!status || status->lost()) {
      lost.push_back({.stage = peer.stage,
                      .called = options_.called(peer.stage),
                      .path = "",
                      .since = {},
                      .ends = {},
                      .given_up = true});
    } else if (status->outage) {
      lost.push_back({.stage = peer.stage,
                      .called = options_.called(peer.stage),
                      .path = status->last_path,
                      .since = status->outage->since,
                      .ends = status->outage->ends});
    }
  }
  return lost;
}

bool Mesh::Impl::departed(StageIndex peer) const {
  const auto status = node_.status(worker_of(peer));
  return !status || status->state == Session::State::departed;
}

std::string default_name(StageIndex stage) { return fmt::format("stage {}", stage.value()); }

bool is_source(StageIndex stage, const wire::MessageName& name) { return name.source == stage; }

Mesh::Mesh(MeshOptions options, Log& log, const Clock& clock) {
  check(options);
  impl_ = std::make_unique<Impl>(std::move(options), log, clock);
}

Mesh::Mesh(MeshOptions options, Log& log, const Clock& clock, NodeGround ground) {
  check(options);
  impl_ = std::make_unique<Impl>(std::move(options), log, clock, ground);
}

Mesh::~Mesh() = default;

bool Mesh::peers_are_here() { return impl_->peers_are_here(); }

Endpoint Mesh::listening() const { return impl_->node().listening(); }

void Mesh::await_peers(const std::function<bool()>& stop) { impl_->await_peers(stop); }

std::string Mesh::missing() const { return impl_->missing(); }

std::vector<LostLink> Mesh::lost_links() const { return impl_->lost_links(); }

std::optional<MeshEvent> Mesh::next(Duration timeout) { return impl_->next(timeout); }

ByteCount Mesh::queued(StageIndex to) const { return impl_->queued(to); }

void Mesh::send(StageIndex to, wire::Message message) { impl_->send(to, std::move(message)); }

std::optional<wire::Message> Mesh::receive(Duration timeout) { return impl_->receive(timeout); }

Traffic Mesh::traffic(StageIndex peer) const { return impl_->traffic(peer); }

void Mesh::allow(RouteKinds kinds) { impl_->node().allow(kinds); }

bool Mesh::departed(StageIndex peer) const { return impl_->departed(peer); }

bool Mesh::close(Duration linger) { return impl_->node().close(linger); }

void Mesh::fail(std::string_view why) {
  impl_->node().close(kFailureLinger, why.empty() ? "it did not say why" : std::string(why));
}

}  // namespace ptrain::net
