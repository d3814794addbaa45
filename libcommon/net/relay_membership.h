// One member of a run at one relay: what it asks next, and what the answers mean.
//
// Registers, renews in time, watches who comes, asks to be introduced to whom it wants to meet, and
// holds claims. Pure: no socket, and no clock but the one that claims count by. Records that come
// from the relay are verified here, so the events speak only of members that hold the run's secret.

#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <variant>
#include <vector>

#include "libcommon/base/boot_clock.h"
#include "libcommon/base/clock.h"
#include "libcommon/base/error.h"
#include "libcommon/net/peer_id.h"
#include "libcommon/net/relay_protocol.h"

namespace ptrain::net {

struct MembershipOptions {
  SignedRecord record;  // ours
  VerifyKey run_key{};  // the issuer's
  PublicKey self_key{};
  std::string role;
  // Roles that we ask to be introduced to, "holder-*" for all that begin so; others ask for us.
  std::set<std::string> seeks{};
  std::uint8_t paths = 1;  // relayed connections with each
  // Of claims, sleep included: who wakes up must not think that it holds what is over.
  std::function<TimePoint()> boot_clock = boot_now;
};

// What the operator of a relay does so that it serves this key, or this run.
std::string how_to_be_served(const PublicKey& key);
std::string how_to_be_served(const RunId& run);

namespace membership {

// The relay has introduced us: this is who, and how to be joined with them.
struct Met {
  PeerRecord peer;
  std::vector<answer::PathToken> tokens;
  Duration start{};  // both begin to dial so long after they hear of it
};
// In place of a token that was spent.
struct Fresh {
  answer::PathToken token;
};
// The relay has us registered, or has not, and why.
struct Standing {
  bool registered = false;
  std::string why{};
  bool permanent = false;  // trying again cannot help
  // Of what is permanent: usage where the relay speaks another version of the protocol.
  ErrorKind kind = ErrorKind::permission;
  std::string hint{};                       // what would help
  std::vector<std::uint16_t> echo_ports{};  // of a relay that has us registered: two, or none
};
// Whom we were to be introduced to: the relay where it is registered has seen its connection end.
struct Absent {
  Place who;
  TimePoint asked;
};
// Another member is registered with the relay, as it says, perhaps not for the first time; is not
// any more; or is not on a list of all that are.
struct Seen {
  Place who;
};
struct Gone {
  Place who;
};
struct Unlisted {
  Place who;
};
// The issuer has taken that peer out of the run.
struct Revoked {
  PublicKey peer{};
};
// Another key is registered for our place.
struct Rival {
  PublicKey key{};
};
// What the relay says of a claim (RelayMembership::claim()).
struct Claimed {
  std::string name;
  bool granted = false;
  std::uint64_t number = 0;  // ours; or the largest that was granted there
  Place holder{};            // who has it; empty: nobody that is known
  // Until then it is ours, or nobody's but the holder's: by MembershipOptions::boot_clock.
  TimePoint until{};
  std::string why{};  // of a claim that was refused as such
};
// The relay is about to end.
struct Farewell {};

using Event = std::variant<Met, Fresh, Standing, Absent, Seen, Gone, Unlisted, Revoked, Rival,
                           Claimed, Farewell>;

}  // namespace membership

class RelayMembership {
 public:
  explicit RelayMembership(MembershipOptions options);

  // The connection to the relay. Nothing that the relay knew of us is taken for granted anew.
  void connected(TimePoint now);
  void lost();
  // The tokens for that member do not work any more.
  void reintroduce(const Place& to, TimePoint now);
  // What we say of ourselves has changed; whom we seek is asked for anew, so that both begin to
  // dial by what they know now. Precondition: a larger sequence.
  void replace_record(SignedRecord record, TimePoint now);
  // What the operator of the relay is shown of our paths, with the next renewal.
  void set_note(std::string note);
  // Wants that name at this relay for `hold` at a time, under `number`, or under the next one that
  // the relay has (0). What is granted is prolonged under its number, three times in each hold,
  // until give_back(), over new connections too; what is not granted is not asked for again. Each
  // answer is a membership::Claimed. A relay grants at most the lease of a registration.
  void claim(const std::string& name, std::uint64_t number, Duration hold, TimePoint now);
  void give_back(const std::string& name, TimePoint now);

  std::optional<Request> next_request(TimePoint now);
  // To be said last; nullopt where there is no registration to end.
  std::optional<Request> farewell();
  std::vector<membership::Event> take(const Answer& answer, TimePoint now);
  // When next_request() may have something.
  TimePoint next_tick() const;
  // An answer is overdue: the connection is as good as lost.
  bool overdue(TimePoint now) const;
  // It was given up for that: over the next one an answer has twice as long.
  void answer_was_overdue() { be_patient(2 * patience_); }

 private:
  // A request that waits for its answer.
  struct Open {
    decltype(Request::body) body;
    TimePoint sent;
    TimePoint sent_at_boot_clock{};  // a claim
  };
  // A claim that is wanted.
  struct Wanted {
    std::uint64_t number = 0;
    Duration hold{};
  };

  Membership self() const { return {options_.run_key, options_.role}; }
  void ask(decltype(Request::body) body, TimePoint when);
  void be_patient(Duration patience);
  void remember_wish(const decltype(Request::body)& body);
  bool asks_for(const Place& to) const;  // or has asked, and waits
  request::Introduce introduction_to(const Place& to) const;
  void on_granted(const Open& request, const answer::Granted& granted, TimePoint now,
                  std::vector<membership::Event>& events);
  void on_refused(const Open& request, const answer::Refused& refused, TimePoint now,
                  std::vector<membership::Event>& events);
  void on_found(const request::LookUp& asked, const answer::Found& found, TimePoint now,
                std::vector<membership::Event>& events);
  void ask_for_claim(const std::string& name, TimePoint when);
  void forget_claim_requests(const std::string& name);
  void on_claimed(const Open& request, const answer::Claimed& claimed, TimePoint now,
                  std::vector<membership::Event>& events);
  void on_claim_refused(const request::Claim& asked, const answer::Refused& refused,
                        TimePoint again, std::vector<membership::Event>& events);
  void on_introduced(const answer::Introduced& introduced, std::vector<membership::Event>& events);
  void consider(const SignedRecord& record, TimePoint now, std::vector<membership::Event>& events);
  // A change that the relay tells of; and the latest one, told with something else.
  void notice_change(std::uint64_t version, TimePoint now);
  void notice_latest(std::uint64_t version, TimePoint now);
  void look_up_anew(TimePoint now);
  std::optional<PeerRecord> member(const SignedRecord& record) const;
  bool seeks(std::string_view role) const;

  MembershipOptions options_;
  std::string note_;
  bool connected_ = false;
  bool registered_ = false;
  std::uint64_t ids_ = 0;
  Duration patience_;  // for an answer
  std::multimap<TimePoint, decltype(Request::body)> due_;
  std::map<std::uint64_t, Open> open_;
  std::map<Place, std::uint64_t> asked_for_;  // with the sequence of its registration
  // A list in pages: whom it has named so far, or the relay told of meanwhile; and whether a change
  // has passed us by since it began.
  struct Listing {
    std::set<Place> named;
    bool outdated;
  };
  std::optional<Listing> listing_;  // since its first page has come
  std::set<Place> seen_;            // and not gone since
  // To whom an introduction was wanted that the connection did not live to see.
  std::set<Place> wishes_;
  std::map<std::string, Wanted> claims_;    // by name
  std::map<Place, std::uint8_t> paths_to_;  // where others wanted more than we do
  std::uint64_t version_ = 0;               // of the run's registry, as far as we know it
};

}  // namespace ptrain::net
