// How the members of a run find each other: through every relay that their ticket names.
//
// Registers us with all relays, is introduced to those that we have business with (net/company.h),
// and makes the paths that the introductions allow: relayed ones through each relay, and direct
// ones to the candidates that a peer has published, by dialling and by punching (punch_party.h).
// What we publish changes with what a router maps and an echo sees. All paths belong to the peer's
// one session, which chooses among them. Where a peer is registered with other relays than we are,
// and those are neighbours of ours, they introduce us all the same, and the paths go through the
// data port of either. Who is met is admitted by the key that their signed record names. Network
// thread only.

#pragma once

#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "libcommon/base/log.h"
#include "libcommon/base/random_source.h"
#include "libcommon/base/token_bucket.h"
#include "libcommon/base/units.h"
#include "libcommon/net/company.h"
#include "libcommon/net/member_roll.h"
#include "libcommon/net/outside_ports.h"
#include "libcommon/net/path.h"
#include "libcommon/net/path_report.h"
#include "libcommon/net/punch_party.h"
#include "libcommon/net/relay_link.h"
#include "libcommon/net/relayed_source.h"
#include "libcommon/net/ticket.h"
#include "libcommon/net/transport.h"
#include "libcommon/net/warning_limiter.h"

namespace ptrain::net {

struct RendezvousOptions {
  Ticket ticket;
  std::string role;  // ours
  KeyPair key;
  std::vector<Endpoint> candidates;  // where we can be dialled, if anywhere; best first
  bool relayed = true;               // whether paths through a relay are wanted
  bool direct = true;                // whether direct ones are
  std::uint8_t connections = 1;      // for bulk, where we dial
  std::uint64_t sequence = 0;        // of our registration: later processes have larger ones
  bool punch = true;                 // whether, where there are direct ones, some are punched
  std::vector<std::uint16_t> hole_ports{};  // that they are punched from; any where there are none
  std::uint16_t listening_port = 0;         // of the candidates; 0: we listen nowhere
  std::filesystem::path outside_file{};     // of ptrain-punch map; empty: there is none
  PathObserver observer{};                  // what was tried; may be empty
  std::function<WallTime()> wall_clock = wall_now;
};

class Rendezvous final : public PathSource, private PathSink {
 public:
  // `transport`, `company`, `random` and `log` outlive the object.
  Rendezvous(Transport& transport, RendezvousOptions options, Company& company,
             RandomSource& random, Log& log);
  ~Rendezvous() override;

  void add_poll_items(std::vector<PollItem>& items) override;
  // Throws Error when no relay will ever register us and nobody waits to be told why.
  void process(PathSink& sink, TimePoint now) override;
  TimePoint next_tick() const override;
  void close(LinkId id, TimePoint now) override;
  // The operators of the relays see it (ptrain-relay peers).
  void session_moved(PeerHandle peer, const std::string& path, const std::string& why) override;
  void last_path_ended(PeerHandle peer, TimePoint now) override;

 private:
  struct Relay {
    std::string name;  // for people
    std::unique_ptr<RelayLink> link;
    std::string reported{};  // the trouble that was last logged
    std::string refused{};   // why it did not register us, as last logged
    bool registered = false;
    std::optional<ErrorKind> barred{};  // it will never register us
    std::uint64_t interruptions = 0;    // of what it says
  };
  // That the last path to a peer has ended, and whom we have asked why.
  struct Cut {
    std::size_t relay;
    std::uint64_t interruptions;  // of that relay until then
    TimePoint when;
  };
  // One peer, and the paths to it through one data port.
  struct Acquaintance {
    PublicKey key{};
    std::size_t introducer = 0;  // the relay that has tokens for it
    std::vector<std::unique_ptr<PathSource>> sources;
    std::vector<RelayedSource*> connections;  // theirs, by the number that tokens give them
  };
  // One address that a peer has published, and the connections that are dialled there: the first is
  // for control, and those for bulk come when it has led to the peer.
  struct DirectPeer {
    PeerHandle peer{};
    Endpoint at;
    std::uint16_t number = 0;  // of its route
    std::vector<std::unique_ptr<PathSource>> sources{};
    std::string outcome = "being tried";
    std::set<LinkId> open{};
  };
  // What the relays say of one peer. The largest number is that of its latest record; but each
  // relay's last word counts alone, for a process whose clock was set back has smaller ones than
  // the one before it.
  struct Word {
    PublicKey key{};
    std::map<std::size_t, PeerRecord> by_relay{};
  };
  // The record whose addresses are dialled.
  struct Dialled {
    PeerRecord record{};
    TokenBucket addresses;  // that may be dialled for the first time
    bool left_out = false;  // some of them, for the time being
  };
  using AcquaintanceId = std::pair<std::size_t, std::string>;  // the data port's number, the role

  void take(std::size_t relay, const membership::Event& event, TimePoint now);
  void on(std::size_t relay, const membership::Met& met, TimePoint now);
  void on(std::size_t relay, const membership::Fresh& fresh, TimePoint now);
  void on(std::size_t relay, const membership::Standing& standing, TimePoint now);
  void on(std::size_t relay, const membership::Absent& absent, TimePoint now);
  void on(std::size_t relay, const membership::Seen& seen, TimePoint) {
    roll_.seen(relay, {seen.who.peer_key, seen.who.role});
  }
  void on(std::size_t relay, const membership::Gone& gone, TimePoint) {
    roll_.gone(relay, {gone.who.peer_key, gone.who.role});
  }
  void on(std::size_t relay, const membership::Unlisted& unlisted, TimePoint now) {
    roll_.unlisted(relay, {unlisted.who.peer_key, unlisted.who.role}, now);
  }
  void on(std::size_t relay, const membership::Revoked& revoked, TimePoint now);
  void on(std::size_t relay, const membership::Rival& rival, TimePoint now);
  void on(std::size_t relay, const membership::Farewell& farewell, TimePoint now);
  void on(std::size_t, const membership::Claimed&, TimePoint) {}  // nothing is claimed here
  bool may_be_met(const PeerRecord& record);
  void warn_once(const PublicKey& key, const std::string& what);
  // ---- Who has gone.
  void follow_roll(TimePoint now);
  void forget(const std::string& role, TimePoint now);
  void forget_departed(TimePoint now);
  bool has_path_to(const std::string& role) const;
  // The number of the data port that takes it: ours of that relay, unless it names another one
  // that our ticket or the peer's own record vouches for; nullopt: nobody does.
  std::optional<std::size_t> port_of(std::size_t relay, const std::string& role,
                                     const answer::PathToken& token);
  void acquaint(const AcquaintanceId& id, std::size_t relay, const PublicKey& key, TimePoint now);
  void offer(const AcquaintanceId& id, const Tie& tie, const answer::PathToken& token);
  std::unique_ptr<RelayedSource> make_connection(std::size_t port, const Tie& tie,
                                                 Acquaintance& known);
  const PeerRecord& latest(std::size_t relay, const PeerRecord& record);
  void dial_directly(PeerHandle peer, const PeerRecord& record, TimePoint now);
  void dial_for_bulk();
  void dial_what_was_left_out(TimePoint now);
  std::unique_ptr<PathSource> dial(const DirectPeer& place, wire::Purpose purpose);
  DirectPeer* processed_direct();
  // ---- What we publish.
  void start_punching();
  SignedRecord record() const;
  std::vector<Endpoint> candidates() const;
  void publish(std::vector<Endpoint> candidates, TimePoint now);
  void publish_changes(TimePoint now);
  void stop_punching(const std::string& why, TimePoint now);
  // ---- For people.
  void tell_observer(const std::string& role);
  std::vector<PathRung> rungs_to(const std::string& role) const;
  void renew_note();
  void tell_awaited(const Error& why, bool permanent);
  void report_trouble(std::size_t relay, TimePoint now);
  void ask_for_tokens(TimePoint now);
  void replace_lost_tokens(std::size_t relay, TimePoint now);
  std::optional<std::size_t> introducer_of(const std::string& role) const;
  // Before a source goes: its paths are closed and reported lost.
  void retire(PathSource& source, TimePoint now);

  // What the sources report passes through here: a peer that cannot be reached in one way
  // may be in another, so no failure is final.
  LinkId next_path_id() override { return outer_->next_path_id(); }
  void path_opened(Path& path, PeerHandle peer) override;
  void path_lost(LinkId id) override;
  void arrived(LinkId id, Arrival arrival) override { outer_->arrived(id, std::move(arrival)); }
  void attempt_failed(PeerHandle peer, const Error& why, bool) override;
  void refused(const std::string& why) override { outer_->refused(why); }

  template <typename Call>
  void for_each_source(Call call) const;

  Transport& transport_;
  RendezvousOptions options_;
  Company& company_;
  RandomSource& random_;
  WarningLimiter lines_;
  std::vector<Relay> relays_;
  MemberRoll roll_;
  // Whom we have met and no relay has, with when they may be forgotten.
  std::map<WorkerId, TimePoint> departed_;
  std::vector<TicketRelay> data_ports_;  // those of our ticket, in its order, and then others
  // By role:
  std::map<std::string, std::vector<TicketRelay>> vouched_;  // the relays of each peer's ticket
  std::map<AcquaintanceId, Acquaintance> acquaintances_;
  std::map<std::string, Word> words_;       // by role
  std::map<std::string, Dialled> dialled_;  // by role
  std::map<std::string, std::vector<DirectPeer>> direct_;
  OutsidePorts outside_;
  std::unique_ptr<PunchParty> party_;  // none: nothing is punched
  std::vector<Endpoint> published_;
  TimePoint look_at_hosts_{};  // at this host's addresses, the next time
  std::map<std::string, PublicKey> met_;
  std::map<std::string, Cut> cuts_;
  std::map<PeerHandle, std::string> names_;
  struct Way {
    std::string path;
    std::string why;
  };
  std::map<PeerHandle, Way> ways_;  // how each peer is reached
  std::map<PeerHandle, std::string> roles_;
  std::set<PublicKey> revoked_;
  std::set<PublicKey> rivals_;  // that were warned of
  std::map<LinkId, const PathSource*> open_;
  bool was_registered_ = false;            // with any relay
  PathSink* outer_ = nullptr;              // during process()
  TimePoint now_{};                        // of that
  const PathSource* processed_ = nullptr;  // the source that reports now
};

}  // namespace ptrain::net
