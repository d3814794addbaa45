// A driver's part in one change of the view: from what it wants to what every holder follows. Pure.
//
//   proposed   the holders promise to follow nobody with a smaller ballot
//   prepared   enough have: they are asked to accept the view, and to get ready
//   ready      enough have accepted it, and every holder of it is ready: it is committed, and they
//              are told so
//   committed  every holder follows it
//
// What comes after a view is decided by the holders of that view, more than half of them, or
// exactly half with the holder of cell (0, 0) among them: any two such groups have a member in
// common, who promises itself to one driver at a time. So there is one next view, however many
// drivers try, whatever the relays say, and whichever messages are lost, late, or come twice
// (Lamport, "Paxos Made Simple", 2001, section 2; a change of the members decided by the members
// before it: Lamport, Malkhi and Zhou, "Vertical Paxos", 2009). A driver that finds that another
// view may have been agreed on carries that one through (adopted()) and makes its own change on top
// of it.
//
// Where the side that lost more than half must go on as well, DecidedBy::lease leaves the decision
// to whoever has the lease: then honest relays are what keeps two sides from going on, and a driver
// must hold the lease for as long as somebody whom it left out may be alive (unaccounted()).
//
// A holder of the new view that is lost on the way cannot follow it: the change goes on until its
// view is agreed on, and ends there (superseded()); the next change is made on top of it. It never
// ends otherwise than that, committed, or deposed.
//
// Messages are sent again by whoever drives this, until they are answered: due() says which. One
// thread; copies are cheap enough for tests to explore.

#pragma once

#include <compare>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "libcommon/elastic/view_messages.h"

namespace ptrain::elastic {

enum class DecidedBy {
  holders,  // of the view that is replaced
  lease,    // whoever has it, and at least one holder
};

// Whether these voters decide on what follows `base`.
bool decide(DecidedBy rule, const View& base, const std::set<PeerName>& voters);
// "2 of 5 holders of epoch 3 have voted, 3 must"; empty where they decide.
std::string what_is_missing(DecidedBy rule, const View& base, const std::set<PeerName>& voters);

class ViewChange {
 public:
  enum class Phase { proposed, prepared, ready, committed };

  struct Plan {
    View base;    // agreed on, as far as the driver knows
    View wanted;  // its epoch is the next
    Ballot ballot;
    std::set<PeerName> present;  // whom the driver can reach, itself included where it holds a cell
    DecidedBy rule = DecidedBy::holders;
  };
  // Throws Error(internal) where `wanted` cannot follow `base`, or there is no lease.
  ViewChange(Plan plan, const Lease& lease, TimePoint now);

  Phase phase() const { return phase_; }
  // What the holders are asked for now: what was wanted, or another driver's that may have been
  // agreed on already.
  const View& view() const { return view_; }
  bool adopted() const { return view_ != plan_.wanted; }
  const Ballot& ballot() const { return plan_.ballot; }

  // To be sent, now and again until the answers come: nothing without the lease.
  std::vector<std::pair<PeerName, Request>> due(const Lease& lease, TimePoint now) const;
  void take(const PeerName& from, const Answer& answer);
  void lost(const PeerName& peer);
  void found(const PeerName& peer);

  // Agreed on: no other view follows the base.
  bool agreed() const;
  // Agreed on, and nothing to wait for: a holder of it is lost, or another driver wanted it. The
  // next change is made on top of it.
  bool superseded() const;
  // Somebody has promised itself to a larger ballot, or knows of a later view: this driver must ask
  // for a new lease, or begin with that view, or is none any more.
  const std::optional<Refused>& deposed() const { return deposed_; }
  // Whom the change leaves out and who has not agreed to it: it may be alive.
  std::set<PeerName> unaccounted() const;

  // "prepared: e has not got ready for epoch 4", for whoever watches.
  std::string waits_for() const;

  auto operator<=>(const ViewChange&) const = default;

 private:
  void advance();
  std::set<PeerName> audience() const;
  std::set<PeerName> holders() const { return job::holders_of(view_); }
  bool all_holders_in(const std::set<PeerName>& peers) const;

  struct Asked : Plan {
    explicit Asked(Plan plan) : Plan(std::move(plan)) {}
    std::strong_ordering operator<=>(const Asked& other) const {
      return std::tie(base, wanted, ballot, present, rule) <=>
             std::tie(other.base, other.wanted, other.ballot, other.present, other.rule);
    }
    bool operator==(const Asked& other) const { return (*this <=> other) == 0; }
  };

  Asked plan_;
  View view_;
  Phase phase_ = Phase::proposed;
  std::map<PeerName, Promised> promised_;
  std::set<PeerName> accepted_;  // their votes
  std::set<PeerName> answered_;  // whether they vote or not, in `prepared`
  std::set<PeerName> ready_;
  std::set<PeerName> followed_;
  std::optional<Refused> deposed_;
};

}  // namespace ptrain::elastic
