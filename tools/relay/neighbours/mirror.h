// What this relay asks of one neighbour, and what the answers mean: the neighbour's members in
// our registry, and messages to them.
//
// One page of changes is asked for at a time, and the neighbour answers when it has one: so it
// is never told faster than we take, and nothing is lost on the way. A neighbour is trusted with
// who is registered there and with nothing else: every record is verified here, and kept only if
// this relay serves that peer and that run. Pure but for the registry; no socket, no clock.

#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "libcommon/base/clock.h"
#include "libcommon/net/relay_protocol.h"
#include "tools/relay/control/access_rules.h"
#include "tools/relay/control/rate_limits.h"
#include "tools/relay/control/registry.h"
#include "tools/relay/delivery.h"
#include "tools/relay/member.h"

namespace ptrain::relay {

// A neighbour's members are held to as many as may register here (RegistryLimits::members).
// Pages that we take of one neighbour; each may hold as many signatures as fit.
inline constexpr BucketRule kPageRule{.per_s = 20, .burst = 200};
// Messages to a neighbour's members that wait for its answer.
inline constexpr std::size_t kMaxForwardsUnderWay = 256;
// One whose answer has not come by then has failed.
inline constexpr Duration kForwardAnswerTimeout = std::chrono::seconds(10);
// When to ask again whoever refuses us.
inline constexpr Duration kRefusedRetry = std::chrono::seconds(5);
// Of a neighbour that is silent for so long, nothing is kept.
inline constexpr Duration kForgetNeighbour = std::chrono::hours(1);

struct ForwardOutcome {
  std::uint64_t forward = 0;
  Delivery delivery = Delivery::failed;
};

// What has come of it, for the members here and for the data port.
struct MirrorNews {
  std::vector<Change> changes;
  std::vector<Departure> departures;
  std::vector<ForwardOutcome> outcomes;
  std::vector<net::Revocation> revocations{};  // signed; new here or not
};

class Mirror {
 public:
  // `registry` and `rules` outlive the object.
  Mirror(const net::PublicKey& neighbour, Registry& registry, const AccessRules& rules,
         TimePoint now);

  // The connection to the neighbour.
  void connected(TimePoint now);
  void lost(MirrorNews& news);
  // An answer is overdue: the connection is as good as lost.
  bool overdue(TimePoint now) const;

  std::optional<net::Request> next_request(TimePoint now);
  void take(const net::Answer& answer, TimePoint now, MirrorNews& news);
  // What the neighbour held, when it has not been heard of for a lease; and what it was to tell.
  void expire(TimePoint now, MirrorNews& news);
  // Others may be allowed now than before.
  void apply_rules(MirrorNews& news);
  // It is no neighbour any more.
  void dissolve(MirrorNews& news);

  // False: it is not connected, or there are too many under way. The outcome comes later.
  bool forward(std::uint64_t id, net::request::Forward body);

  // Whether it tells us of its members at the moment.
  bool following() const { return following_; }
  std::size_t members() const { return held_.size(); }
  // Records that were not what they should be, and members that had no room.
  std::uint64_t forged() const { return forged_; }
  std::size_t left_out() const { return left_out_.size(); }
  // Why it does not tell us; empty where nothing is known.
  const std::string& trouble() const { return trouble_; }

 private:
  // The page of changes that was asked for.
  struct Asked {
    std::uint64_t id = 0;
    TimePoint sent;
  };
  // A message to a member that the neighbour has been given.
  struct UnderWay {
    std::uint64_t forward = 0;
    TimePoint sent;
  };
  Duration hold() const;
  void on(const net::answer::Mirrored& page, TimePoint now, MirrorNews& news);
  void hold_member(const net::SignedRecord& record, MirrorNews& news);
  void drop(const Member& member, MirrorNews& news);
  template <class Condition>
  void drop_if(Condition condition, MirrorNews& news);
  void set_silent(bool silent, MirrorNews& news);

  net::PublicKey neighbour_;
  Registry& registry_;
  const AccessRules& rules_;
  bool connected_ = false;
  bool following_ = false;
  bool silent_ = false;
  TimePoint heard_;  // a page
  TimePoint ask_at_{};
  std::uint64_t ids_ = 0;
  std::optional<Asked> asked_;
  std::map<std::uint64_t, UnderWay> under_way_;  // by the request's number, and so by age
  std::vector<std::pair<std::uint64_t, net::request::Forward>> to_forward_;

  std::uint64_t since_ = 0;    // where the last page ended
  std::uint64_t listing_ = 0;  // while the list is read from its beginning: where that was
  std::uint64_t round_ = 0;    // of reading it
  std::map<Member, std::uint64_t> held_;  // and in which round each was named last
  std::set<Member> left_out_;
  std::optional<TimePoint> again_at_;  // when those are asked for once more
  std::uint64_t forged_ = 0;
  TokenBucket pages_;
  std::string trouble_;
};

}  // namespace ptrain::relay
