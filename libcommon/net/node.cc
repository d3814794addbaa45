#include "libcommon/net/node.h"

#include <algorithm>
#include <chrono>
#include <exception>
#include <string>
#include <thread>
#include <utility>

#include <fmt/format.h>

#include "libcommon/net/endpoint_rules.h"
#include "libcommon/net/host_addresses.h"
#include "libcommon/net/hub.h"
#include "libcommon/net/node_desk.h"
#include "libcommon/net/rendezvous.h"
#include "libcommon/net/stage_admission.h"
#include "libcommon/net/zmq/zmq_transport.h"
#include "libcommon/os/epoll_loop.h"
#include "libcommon/os/quiet_thread.h"

namespace ptrain::net {
namespace {

void check(const NodeOptions& options) {
  if (options.listen) check_listened(*options.listen, options.key.has_value());
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
  if (ours.terms.size() > wire::kMaxTermsBytes) {
    throw Error(ErrorKind::internal, fmt::format("terms of {} bytes, at most {} allowed",
                                                 ours.terms.size(), wire::kMaxTermsBytes));
  }
}

// Later processes of a host have larger numbers, whatever they did before.
std::uint64_t registration_sequence() {
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  return static_cast<std::uint64_t>(
      std::chrono::duration_cast<std::chrono::microseconds>(now).count());
}

}  // namespace

// Of a node with a thread of its own.
struct OwnGround {
  explicit OwnGround(const Clock& clock) : loop(clock), transport(loop, clock) {}
  os::EpollLoop loop;
  ZmqTransport transport;
  SystemRandom random;
};

class Node::Impl final : public HubOwner {
 public:
  Impl(NodeOptions options, std::unique_ptr<Company> company, Log& log, const Clock& clock)
      : Impl(std::move(options), std::move(company), log, std::make_unique<OwnGround>(clock)) {}
  Impl(NodeOptions options, std::unique_ptr<Company> company, Log& log,
       std::unique_ptr<OwnGround> own)
      : Impl(std::move(options), std::move(company), log,
             NodeGround{own->loop, own->transport, own->random}) {
    own_ = std::move(own);
  }
  Impl(NodeOptions options, std::unique_ptr<Company> company, Log& log, NodeGround ground)
      : options_(std::move(options)),
        log_(log),
        ground_(ground),
        desk_({.queue = options_.queue_limit.value(),
               .queues = options_.queues_limit.value(),
               .wake_after = options_.credit_window.value() / 4,
               .low_water = options_.low_water.value()},
              [this] { ground_.loop.post([this] { obey(); }); }),
        hub_(options_, ground_.loop, ground_.transport, ground_.random, *this, log) {
    if (company) hub_.admit(std::move(company));
    if (options_.listen) listening_ = hub_.listen(*options_.listen);
  }
  void start() {
    if (own_) thread_ = os::quiet_thread([this] { run(); });
  }
  ~Impl() override {
    if (own_) end(abandoned_, kFailureLinger);
  }

  NodeDesk& desk() { return desk_; }
  const NodeOptions& options() const { return options_; }
  const Endpoint& listening() const { return listening_; }
  void when_abandoned_say(std::string reason) { abandoned_ = std::move(reason); }

  Hub& hub() { return hub_; }
  void meet(const Meeting& meeting, std::string role);
  bool end(std::string reason, Duration linger);
  // Who runs the loop himself cannot wait for it.
  Duration patience(Duration timeout) const { return own_ ? timeout : Duration::zero(); }

 private:
  void run();
  void obey();
  void came(PeerHandle peer, const WorkerId& id) override { desk_.add(id, peer); }
  void delivered(PeerHandle from, wire::Urgency urgency, wire::Message message) override {
    desk_.delivered(from, urgency, std::move(message));
  }
  void published(PeerHandle peer, const PeerStatus& status) override {
    desk_.published(peer, status);
  }
  void gone(PeerHandle peer) override { desk_.gone(peer); }
  void member_seen(const WorkerId& member) override { desk_.told_of(member, true); }
  void member_gone(const WorkerId& member) override { desk_.told_of(member, false); }

  std::unique_ptr<OwnGround> own_;  // or none
  const NodeOptions options_;
  Log& log_;
  const NodeGround ground_;
  NodeDesk desk_;
  Hub hub_;
  Endpoint listening_;
  std::string abandoned_;
  bool goodbye_said_ = false;
  bool drained_ = true;  // when it ended; whoever never began has nothing to say
  std::thread thread_;   // last: it uses the members above
};

void Node::Impl::run() {
  try {
    own_->loop.run();
  } catch (const Error& error) {
    desk_.collapse(error);
  } catch (const std::exception& exception) {
    desk_.collapse(
        Error(ErrorKind::internal, fmt::format("the network thread ended: {}", exception.what())));
  }
}

void Node::Impl::obey() {
  Orders orders = desk_.take_orders();
  for (const auto& order : orders.first) order();
  for (auto& [to, urgency, rank, message] : orders.outgoing) {
    hub_.send(to, urgency, rank, std::move(message));
  }
  for (const auto& [peer, costs] : orders.consumed_cost) {
    for (const wire::Urgency urgency : wire::kAllUrgencies) {
      const std::uint64_t cost = costs[static_cast<std::size_t>(urgency)];
      if (cost > 0) hub_.consumed(peer, urgency, cost);
    }
  }
  for (const PeerHandle peer : orders.forget) hub_.forget(peer);
  for (const auto& order : orders.last) order();
}

void Node::Impl::meet(const Meeting& meeting, std::string role) {
  RendezvousOptions rendezvous{.ticket = meeting.ticket,
                               .role = std::move(role),
                               .key = *options_.key,
                               .candidates = {},
                               .relayed = meeting.relayed,
                               .direct = meeting.direct,
                               .connections = options_.connections,
                               .sequence = registration_sequence(),
                               .punch = meeting.punch,
                               .hole_ports = meeting.hole_ports,
                               .outside_file = meeting.outside_file,
                               .observer = meeting.observer};
  if (options_.listen) {
    if (listening_.kind == EndpointKind::direct) rendezvous.listening_port = listening_.port;
    rendezvous.candidates = meeting.announced;
    for (const Endpoint& own : candidates_of(listening_)) {
      if (rendezvous.candidates.size() < kMaxCandidates) rendezvous.candidates.push_back(own);
    }
  }
  desk_.order_first([this, rendezvous = std::move(rendezvous)] {
    hub_.meet(std::make_unique<Rendezvous>(ground_.transport, rendezvous, *hub_.company(),
                                           ground_.random, log_));
  });
}

bool Node::Impl::end(std::string reason, Duration linger) {
  if (own_ && !thread_.joinable()) return drained_;
  if (!std::exchange(goodbye_said_, true)) {
    desk_.order_last([this, reason = std::move(reason)] { hub_.say_goodbye(reason); });
  }
  drained_ = desk_.wait_until_drained(patience(linger));
  if (!own_) return drained_;
  // After the orders and what they deferred: where the thread had no turn all that time, the
  // goodbye is yet to be sent.
  own_->loop.post([this] { own_->loop.defer([this] { own_->loop.stop(); }); });
  thread_.join();
  return drained_;
}

Node::Node(NodeOptions options, std::unique_ptr<Company> company, Log& log, const Clock& clock) {
  check(options);
  impl_ = std::make_unique<Impl>(std::move(options), std::move(company), log, clock);
}

Node::Node(NodeOptions options, std::unique_ptr<Company> company, Log& log, NodeGround ground) {
  check(options);
  impl_ = std::make_unique<Impl>(std::move(options), std::move(company), log, ground);
}

Node::~Node() = default;

void Node::when_abandoned_say(std::string reason) { impl_->when_abandoned_say(std::move(reason)); }

void Node::start() { impl_->start(); }

Endpoint Node::listening() const { return impl_->listening(); }

void Node::seek(const WorkerId& peer, const Endpoint& endpoint, StageIndex place,
                std::string name) {
  check_dialled(endpoint, impl_->options().key.has_value(), to_string(endpoint));
  const PeerHandle handle = impl_->desk().add(peer);
  impl_->desk().order_first([&hub = impl_->hub(), handle, place, name = std::move(name), endpoint,
                             within = impl_->options().appear_timeout] {
    hub.seek(handle, place, name, endpoint, within);
  });
}

void Node::expect(const WorkerId& peer, StageIndex place, std::string name) {
  const PeerHandle handle = StageAdmission::handle_of(place);
  impl_->desk().add(peer, handle);
  impl_->desk().order_first([&hub = impl_->hub(), handle, place, name = std::move(name)] {
    hub.expect(handle, place, name);
  });
}

void Node::meet(const Meeting& meeting, std::string role) { impl_->meet(meeting, std::move(role)); }

void Node::drop(const WorkerId& peer) {
  if (const auto handle = impl_->desk().handle_of(peer)) impl_->desk().forget(*handle);
}

void Node::dismiss(const WorkerId& peer, std::string_view why) {
  const auto handle = impl_->desk().handle_of(peer);
  if (!handle) return;
  impl_->desk().order_last([&hub = impl_->hub(), handle = *handle, why = std::string(why)] {
    hub.dismiss(handle, why);
  });
}

bool Node::send(const WorkerId& to, wire::Urgency urgency, wire::Message message, Rank rank) {
  return impl_->desk().send(to, urgency, std::move(message), rank);
}

ByteCount Node::queued(const WorkerId& peer) const {
  return ByteCount(impl_->desk().queued_cost(peer));
}

std::optional<PeerStatus> Node::status(const WorkerId& peer) const {
  return impl_->desk().status(peer);
}

Traffic Node::traffic(const WorkerId& peer) const {
  const auto status = impl_->desk().status(peer);
  return status ? status->traffic : Traffic{};
}

std::optional<NodeEvent> Node::next(Duration timeout) {
  return impl_->desk().next(impl_->patience(timeout));
}

bool Node::wait(Duration timeout, bool (*done)(const PeerStatus&)) const {
  return impl_->desk().wait(impl_->patience(timeout), done);
}

void Node::settle() {
  impl_->desk().order_last([&hub = impl_->hub()] { hub.settle(); });
}

void Node::allow(RouteKinds kinds) {
  impl_->desk().order_last([&hub = impl_->hub(), kinds] { hub.allow(kinds); });
}

bool Node::close(Duration linger, std::string reason) {
  return impl_->end(std::move(reason), linger);
}

}  // namespace ptrain::net
