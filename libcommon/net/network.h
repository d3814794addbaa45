// The network thread's work: sessions above, paths below, one loop.
//
// Moves frames between the sessions, which are pure, and the path sources, which
// own the sockets; tells the exchange what came of it. Set up by its owner
// (listen, expect, dial), so that a port in use is an error there, then run by
// one thread only.

#pragma once

#include <array>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include <zmq.hpp>

#include "libcommon/base/clock.h"
#include "libcommon/base/log.h"
#include "libcommon/base/random_source.h"
#include "libcommon/net/admission.h"
#include "libcommon/net/bundle_gate.h"
#include "libcommon/net/exchange.h"
#include "libcommon/net/keys.h"
#include "libcommon/net/listener.h"
#include "libcommon/net/path.h"
#include "libcommon/net/session.h"
#include "libcommon/net/warning_limiter.h"
#include "libcommon/net/zap.h"

namespace ptrain::net {

struct NetworkOptions {
  // What all sessions have in common; peer, peer_name and incarnation are each one's own.
  SessionOptions terms;
  std::optional<KeyPair> key;
  // The stage that a peer says it is, where it is dialled or comes unexpected.
  StageIndex counterpart{};
  // For bulk, to those whom we dial (bundle.h).
  std::uint8_t connections = 1;
  // A peer that is dialled by order and does not appear by then is lost.
  std::optional<Duration> appear_timeout{};
};

class Network final : public PathSink {
 public:
  Network(NetworkOptions options, Exchange& exchange, Log& log, const Clock& clock);
  ~Network() override;

  // Who may come in, wherever we listen. Once, before anything listens.
  void admit(std::unique_ptr<Admission> admission);
  // Throws Error(io) when the address cannot be bound. Once.
  void listen(const Endpoint& endpoint);
  // A peer that will come to us.
  void expect(PeerHandle peer, StageIndex stage, std::string name);
  // A peer that we connect to, and go on connecting to.
  void dial(PeerHandle peer, StageIndex stage, std::string name, const Endpoint& endpoint);

  // Paths of peers that are dialled or expected, made by somebody else.
  void add_source(std::unique_ptr<PathSource> source) { sources_.push_back(std::move(source)); }
  zmq::context_t& context() { return context_; }

  // Precondition: listen() was called.
  Endpoint bound() const { return listener_->bound(); }
  // Until the exchange says stop.
  void run();

  // What paths report; called from within run().
  PathId next_path_id() override;
  void path_opened(Path& path, PeerHandle peer, wire::Channel channel) override;
  void path_lost(PathId id) override;
  void arrived(PathId id, Arrival arrival) override;
  void attempt_failed(PeerHandle peer, const std::string& why, ErrorKind kind,
                      bool permanent) override;
  // Of our own diallers; those of a meeting try addresses that may be another host's.
  void host_answered(PeerHandle peer) override;
  void refused(const std::string& why) override;

 private:
  struct PeerLink {
    explicit PeerLink(Session session_value) : session(std::move(session_value)) {}
    Session session;
    std::string name;
    PeerStatus status;
    std::uint64_t taken_cost = 0;
    std::vector<std::unique_ptr<PathSource>> diallers;
    std::optional<TimePoint> appear_by;  // while it has not
    bool changed = true;                 // since it was published
  };
  struct OpenPath {
    Path* path;
    PeerHandle peer;
    wire::Channel channel;
  };

  std::unique_ptr<PathSource> make_dialler(PeerHandle peer, wire::Channel channel,
                                           const Endpoint& endpoint);
  PeerLink& add_link(PeerHandle peer, StageIndex stage, std::string name);
  bool obey(Orders orders);
  void dismiss(PeerHandle peer, const std::string& why);
  void forget(PeerHandle peer);
  void wait();
  void read_sockets();
  void pump(PeerLink& link);
  void send(const Session::Outgoing& outgoing);
  void close_discarded(PeerLink& link);
  void close_path(PeerLink& link, PathId id);
  void close_sources(PeerLink& link, PathId id);
  void close_accepted(PathId id);
  void expire(PeerLink& link);
  void report(PeerHandle peer, PeerLink& link);
  PeerLink* find(PeerHandle peer);
  ChannelTraffic& meter(const OpenPath& path);

  NetworkOptions options_;
  Exchange& exchange_;
  const Clock& clock_;
  WarningLimiter warnings_;
  zmq::context_t context_;
  std::unique_ptr<Admission> admission_;
  std::unique_ptr<ZapHandler> zap_;
  SystemRandom random_;
  BundleGate gate_;                     // what others dial comes through it
  std::unique_ptr<Listener> listener_;  // may be none
  std::vector<std::unique_ptr<PathSource>> sources_;
  std::map<PeerHandle, PeerLink> links_;
  std::map<PathId, OpenPath> paths_;
  std::uint64_t path_ids_ = 0;
  TimePoint now_;
  bool more_to_send_ = false;  // a session was stopped at its bound
};

}  // namespace ptrain::net
