#include "libcommon/net/mesh.h"

#include <algorithm>
#include <chrono>
#include <map>
#include <set>
#include <utility>

#include <fmt/format.h>

#include "libcommon/base/error.h"
#include "libcommon/net/endpoint_rules.h"
#include "libcommon/net/exchange.h"
#include "libcommon/net/host_addresses.h"
#include "libcommon/net/network.h"
#include "libcommon/net/network_thread.h"
#include "libcommon/net/rendezvous.h"
#include "libcommon/net/stage_admission.h"
#include "libcommon/wire/envelope.h"

namespace ptrain::net {
namespace {

constexpr Duration kStopQuestionInterval = std::chrono::milliseconds(100);

bool dials(StageIndex self, StageIndex peer) { return self > peer; }

void check_peer(const MeshOptions& options, const Peer& peer) {
  const Endpoint& endpoint = peer.endpoint;
  const std::string who = fmt::format("stage {} at {}", peer.stage.value(), to_string(endpoint));
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
  if (options.listen) check_listened(*options.listen, options.key.has_value());
  if (!options.listen && !options.meeting) {
    throw Error(ErrorKind::usage, "neither an endpoint to listen at nor a ticket");
  }
  if (options.meeting && !options.key) {
    throw Error(ErrorKind::internal, "a meeting without a key of our own");
  }
  if (options.credit_window.value() < kMinCreditWindow) {
    throw Error(ErrorKind::usage, fmt::format("a credit window of {} bytes, at least {} needed",
                                              options.credit_window.value(), kMinCreditWindow));
  }
  check_connections(options.connections);
  const Introduction& ours = options.introduction;
  for (const std::string& text : {ours.run, ours.job_hash, ours.data_fingerprint}) {
    if (text.size() <= wire::kMaxTextBytes) continue;
    throw Error(ErrorKind::usage,
                fmt::format("'{}...' has {} bytes, at most {} allowed", text.substr(0, 20),
                            text.size(), wire::kMaxTextBytes));
  }
  std::set<StageIndex> seen;
  for (const Peer& peer : options.peers) {
    check_peer(options, peer);
    if (!seen.insert(peer.stage).second) {
      throw Error(ErrorKind::usage, fmt::format("stage {} is given twice", peer.stage.value()),
                  "name every stage once");
    }
  }
}

PeerHandle handle_of(StageIndex stage) { return StageAdmission::handle_of(stage); }

NetworkOptions network_options(const MeshOptions& options) {
  return {.terms = {.self = options.self,
                    .introduction = options.introduction,
                    .credit_window = options.credit_window,
                    .message_limit = options.message_limit,
                    .stall_timeout = std::min<Duration>(SessionOptions{}.stall_timeout,
                                                        options.silence_timeout / 2),
                    .silence_timeout = options.silence_timeout,
                    .reconnect_timeout = options.reconnect_timeout,
                    .outage_timeout = options.outage_timeout,
                    .allowed_kinds = options.allowed_kinds},
          .key = options.key,
          .connections = options.connections};
}

// Later processes of a host have larger numbers, whatever they did before.
std::uint64_t registration_sequence() {
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  return static_cast<std::uint64_t>(
      std::chrono::duration_cast<std::chrono::microseconds>(now).count());
}

// Everyone is expected: who dials whom is the rendezvous's business.
void set_up_meeting(Network& network, const MeshOptions& options, RandomSource& random, Log& log) {
  auto admission =
      std::make_unique<StageAdmission>(std::map<StageIndex, std::optional<PublicKey>>{}, true);
  StageAdmission& gate = *admission;
  network.admit(std::move(admission));
  RendezvousOptions rendezvous{.ticket = options.meeting->ticket,
                               .self = options.self,
                               .peers = {},
                               .key = *options.key,
                               .candidates = {},
                               .relayed = options.meeting->relayed,
                               .direct = options.meeting->direct,
                               .connections = options.connections,
                               .sequence = registration_sequence()};
  if (options.listen) {
    network.listen(*options.listen);
    rendezvous.candidates = options.meeting->announced;
    for (const Endpoint& own : candidates_of(network.bound())) {
      if (rendezvous.candidates.size() < kMaxCandidates) rendezvous.candidates.push_back(own);
    }
  }
  for (const Peer& peer : options.peers) {
    network.expect(handle_of(peer.stage), peer.stage, fmt::format("stage {}", peer.stage.value()));
    rendezvous.peers.insert(peer.stage);
  }
  network.add_source(
      std::make_unique<Rendezvous>(network.context(), std::move(rendezvous), gate, random, log));
}

void set_up(Network& network, const MeshOptions& options) {
  std::map<StageIndex, std::optional<PublicKey>> admitted;
  for (const Peer& peer : options.peers) {
    if (!dials(options.self, peer.stage)) admitted[peer.stage] = peer.endpoint.key;
  }
  network.admit(std::make_unique<StageAdmission>(std::move(admitted), options.key.has_value()));
  network.listen(*options.listen);
  for (const Peer& peer : options.peers) {
    const std::string name = fmt::format("stage {}", peer.stage.value());
    if (dials(options.self, peer.stage)) {
      network.dial(handle_of(peer.stage), peer.stage,
                   fmt::format("{} at {}", name, zmq_address(peer.endpoint)), peer.endpoint);
    } else {
      network.expect(handle_of(peer.stage), peer.stage, name);
    }
  }
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
        exchange_({.queue = options_.queue_limit.value(),
                   .wake_after = options_.credit_window.value() / 4}),
        network_(network_options(options_), exchange_, log, clock) {
    if (options_.meeting) {
      set_up_meeting(network_, options_, random_, log);
    } else {
      set_up(network_, options_);
    }
    if (options_.listen) listening_ = network_.bound();
    thread_ = std::make_unique<NetworkThread>(network_, exchange_);
    thread_->when_abandoned_say(
        fmt::format("stage {} ended without finishing", options_.self.value()));
  }

  const Endpoint& listening() const { return listening_; }
  Exchange& exchange() { return exchange_; }
  const Exchange& exchange() const { return exchange_; }
  NetworkThread& thread() { return *thread_; }

  void check_size(const wire::Message& message) const;
  void await_peers(const std::function<bool()>& stop);

 private:
  void throw_if_refused() const;
  Error absence() const;

  MeshOptions options_;
  const Clock& clock_;
  SystemRandom random_;
  Exchange exchange_;
  Network network_;
  Endpoint listening_;
  std::unique_ptr<NetworkThread> thread_;  // last: it uses the members above
};

void Mesh::Impl::check_size(const wire::Message& message) const {
  if (message.payload.size() <= options_.message_limit.value()) return;
  throw Error(ErrorKind::internal,
              fmt::format("send {}: {} bytes, at most {} allowed", to_string(message.name),
                          message.payload.size(), options_.message_limit.value()));
}

void Mesh::Impl::await_peers(const std::function<bool()>& stop) {
  const TimePoint deadline = clock_.now() + options_.connect_timeout;
  while (true) {
    const bool decided = exchange_.wait(kStopQuestionInterval, is_decided);
    throw_if_refused();
    if (decided) break;
    if (stop()) return;
    if (clock_.now() >= deadline) throw absence();
  }
  exchange_.order_settle();
}

void Mesh::Impl::throw_if_refused() const {
  for (const Peer& peer : options_.peers) {
    const PeerStatus status = exchange_.status(handle_of(peer.stage));
    if (status.failure) throw Error(*status.failure);
    if (status.hopeless) throw Error(*status.hopeless);
  }
}

// Who has not appeared, and what is known about why.
Error Mesh::Impl::absence() const {
  std::string who;
  for (const Peer& peer : options_.peers) {
    const PeerStatus status = exchange_.status(handle_of(peer.stage));
    if (status.state != Session::State::waiting) continue;
    if (!who.empty()) who += "; ";
    if (options_.meeting) {
      who += fmt::format("stage {} ({})", peer.stage.value(),
                         status.last_attempt.empty() ? "it has not registered with our relays"
                                                     : status.last_attempt);
    } else if (dials(options_.self, peer.stage)) {
      who += fmt::format("stage {} at {} ({})", peer.stage.value(), zmq_address(peer.endpoint),
                         status.last_attempt.empty() ? "no answer" : status.last_attempt);
    } else {
      who += fmt::format("stage {} did not dial {}", peer.stage.value(), zmq_address(listening_));
    }
  }
  return Error(ErrorKind::unavailable,
               fmt::format("not all stages appeared within {:.0f} s: {}",
                           seconds(options_.connect_timeout), who),
               options_.meeting ? "start it with the same ticket, or look whether the relay runs"
                                : "start it, or correct its endpoint");
}

Mesh::Mesh(MeshOptions options, Log& log, const Clock& clock) {
  check(options);
  impl_ = std::make_unique<Impl>(std::move(options), log, clock);
}

Mesh::~Mesh() = default;

Endpoint Mesh::listening() const { return impl_->listening(); }

void Mesh::await_peers(const std::function<bool()>& stop) { impl_->await_peers(stop); }

void Mesh::send(StageIndex to, wire::Message message) {
  if (auto flaw = wire::flaw_of(message.tensor, message.payload.size())) {
    throw Error(ErrorKind::internal, fmt::format("send {}: {}", to_string(message.name), *flaw));
  }
  impl_->check_size(message);
  impl_->exchange().post(handle_of(to), std::move(message));
}

std::optional<wire::Message> Mesh::receive(Duration timeout) {
  auto delivered = impl_->exchange().receive(timeout);
  if (!delivered) return std::nullopt;
  return std::move(delivered->message);
}

Traffic Mesh::traffic(StageIndex peer) const { return impl_->exchange().traffic(handle_of(peer)); }

void Mesh::allow(PathKinds kinds) { impl_->exchange().order_allow(kinds); }

bool Mesh::departed(StageIndex peer) const {
  return impl_->exchange().status(handle_of(peer)).state == Session::State::departed;
}

bool Mesh::close(Duration linger) { return impl_->thread().end("", linger); }

void Mesh::fail(std::string_view why) {
  impl_->thread().end(why.empty() ? "it did not say why" : std::string(why), kFailureLinger);
}

}  // namespace ptrain::net
