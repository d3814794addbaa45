// The loop's half of a node: sessions above, sources of links below.
//
// Moves frames between the sessions, which are pure, and the sources, which own the connections,
// and tells its owner what came of it. A source that has something to read, or whose time has come,
// is looked at, and then the peers that it concerned are served; the others cost nothing. Loop's
// thread only (before the loop runs: whoever sets it up).

#pragma once

#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "libcommon/base/clock.h"
#include "libcommon/base/log.h"
#include "libcommon/base/random_source.h"
#include "libcommon/base/rate_limit.h"
#include "libcommon/net/company.h"
#include "libcommon/net/keys.h"
#include "libcommon/net/loop_entry.h"
#include "libcommon/net/node.h"
#include "libcommon/net/path.h"
#include "libcommon/net/sending_time.h"
#include "libcommon/net/session.h"
#include "libcommon/net/transport.h"
#include "libcommon/net/warning_limiter.h"

namespace ptrain::net {

// Whom a hub tells what has become known.
class HubOwner {
 public:
  virtual ~HubOwner() = default;
  virtual void came(PeerHandle peer, const WorkerId& id) = 0;  // that nobody has asked for
  virtual void delivered(PeerHandle from, wire::Urgency urgency, wire::Message message) = 0;
  virtual void published(PeerHandle peer, const PeerStatus& status) = 0;
  virtual void gone(PeerHandle peer) = 0;  // that was to be forgotten
  virtual void member_seen(const WorkerId& member) = 0;
  virtual void member_gone(const WorkerId& member) = 0;
};

class Hub final : public PathSink {
 public:
  // All but `options` outlive the object.
  Hub(NodeOptions options, os::Loop& loop, Transport& transport, RandomSource& random,
      HubOwner& owner, Log& log);
  ~Hub() override;

  // ---- To set up.
  // Who may come in, wherever we listen. Once, before anything listens.
  void admit(std::unique_ptr<Company> company);
  Company* company() { return company_.get(); }
  // What others dial. Throws Error(io) when the address cannot be bound. Once.
  Endpoint listen(const Endpoint& endpoint);

  // ---- Peers.
  // A peer that will come to us.
  void expect(PeerHandle peer, StageIndex stage, std::string name);
  // A peer that we connect to, and go on connecting to; one that has not appeared by then is lost.
  void seek(PeerHandle peer, StageIndex stage, std::string name, const Endpoint& endpoint,
            Duration appear_within);
  // Where relays introduce peers to us.
  void meet(std::unique_ptr<PathSource> meeting);

  // ---- What the application wants.
  void send(PeerHandle to, wire::Urgency urgency, Rank rank, wire::Message message);
  void consumed(PeerHandle peer, wire::Urgency urgency, std::uint64_t cost);
  void dismiss(PeerHandle peer, const std::string& why);
  // Says goodbye; the peer is gone when both have heard the other's, or in two seconds.
  void forget(PeerHandle peer);
  void settle();
  void allow(RouteKinds kinds);
  void say_goodbye(const std::string& reason);  // empty: all is well

  // ---- What sources report.
  LinkId next_path_id() override;
  void path_opened(Path& path, PeerHandle peer) override;
  void path_lost(LinkId id) override;
  void arrived(LinkId id, Arrival arrival) override;
  void attempt_failed(PeerHandle peer, const Error& why, bool permanent) override;
  void host_answered(PeerHandle peer) override;
  void peer_is_absent(PeerHandle peer) override;
  void peer_is_barred(PeerHandle peer) override;
  void member_seen(const WorkerId& member) override { owner_.member_seen(member); }
  void member_gone(const WorkerId& member) override { owner_.member_gone(member); }
  void refused(const std::string& why) override;

 private:
  struct Source {
    std::unique_ptr<PathSource> source;
    std::unique_ptr<LoopEntry> entry;
  };
  struct Peer {
    explicit Peer(Session session_value) : session(std::move(session_value)) {}
    Session session;
    SessionOptions terms{};
    PeerStatus status{};
    std::uint64_t taken_cost = 0;
    SendingTime sending{SessionOptions{}.ack_delay};
    std::vector<PathSource*> diallers{};
    std::optional<TimePoint> appear_by{};  // while it has not
    Duration appear_within = Duration::max();
    std::optional<TimePoint> forget_by{};
    std::unique_ptr<os::Loop::Timer> timer{};
    bool due = false;  // to be served in this round
    bool given_up = false;
    bool changed = true;  // since it was published
  };
  struct OpenPath {
    Path* path;
    PeerHandle peer;
    PathSource* source;
  };

  Peer& add_peer(PeerHandle peer, StageIndex stage, std::string name);
  PathSource& enter(std::unique_ptr<PathSource> source);
  void leave(PathSource& source);
  void look_at(PathSource& source);
  void serve_later(PeerHandle peer, Peer& known);
  void serve_all();
  void serve(PeerHandle peer, Peer& known);
  void pump(PeerHandle peer, Peer& known);
  void send(const Session::Outgoing& outgoing);
  void give_up(PeerHandle peer, Peer& known, const std::string& why);
  void close_discarded(Peer& known);
  void close_path(LinkId id);
  std::vector<LinkId> links_of(PeerHandle peer) const;
  void close_paths_of(PeerHandle peer, std::optional<LinkId> but = std::nullopt);
  void expire(Peer& known);
  void remove(PeerHandle peer);
  void begin_again_if_restarted(PeerHandle peer, Peer& known);
  void report(PeerHandle peer, Peer& known);
  ByteCount next_credit_window() const;
  Peer* find(PeerHandle peer);
  LinkTraffic& meter(const OpenPath& path);

  NodeOptions options_;
  os::Loop& loop_;
  Transport& transport_;
  RandomSource& random_;
  HubOwner& owner_;
  WarningLimiter warnings_;
  std::unique_ptr<Company> company_;
  PathSource* meeting_ = nullptr;
  std::map<const PathSource*, Source> sources_;
  PathSource* looked_at_ = nullptr;  // the source that reports now
  std::map<PeerHandle, Peer> peers_;
  std::set<PeerHandle> expected_;  // that were to come to us, and may come when they are forgotten
  std::vector<PeerHandle> due_;
  std::map<LinkId, OpenPath> paths_;
  std::uint64_t path_ids_ = 0;
  RateLimit up_rate_;
};

}  // namespace ptrain::net
