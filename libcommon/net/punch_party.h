// The punched paths of a member to all that it meets: which lines there are, when both sides try,
// and where our own holes are seen.
//
// An attempt follows each introduction, because that is what both sides hear at about the same
// time. When a path is lost, or an attempt has brought nothing, echoes are asked anew where our
// holes are seen, and after that, by who dials, for another introduction; ever more rarely
// (punch_pace.h). Network thread only.

#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "libcommon/base/token_bucket.h"
#include "libcommon/net/company.h"
#include "libcommon/net/host_lookup.h"
#include "libcommon/net/path_report.h"
#include "libcommon/net/peer_record.h"
#include "libcommon/net/punch_pace.h"
#include "libcommon/net/punched_source.h"
#include "libcommon/net/relay_word.h"

namespace ptrain::net {

// Between two questions to echoes, and while some peer is not reached directly.
inline constexpr Duration kLeastRefresh = std::chrono::seconds(2);
inline constexpr Duration kRefresh = std::chrono::seconds(60);
// Attempts with guests, whom we have not known before and of whom there may be any number: of all
// together.
inline constexpr BucketRule kGuestPunches{.per_s = 0.2, .burst = 64};
// A path that has lived for so long works.
inline constexpr Duration kPunchProved = std::chrono::seconds(5);

class PunchParty {
 public:
  using Retire = std::function<void(PathSource&)>;

  // `transport` and `random` outlive the object. `connections`: for bulk, where we dial.
  PunchParty(Transport& transport, std::unique_ptr<Punching> punching, std::string role,
             KeyPair key, std::uint8_t connections, RandomSource& random);

  void add_poll_items(std::vector<PollItem>& items) { punching_->add_poll_items(items); }
  // Before the sources are processed, and after.
  void process(TimePoint now) { punching_->process(now); }
  void tend(TimePoint now);
  TimePoint next_tick() const;

  // ---- Our own holes.
  void echo_is_at(const TicketRelay& relay, const std::vector<std::uint16_t>& ports, TimePoint now);
  void set_outside(const std::vector<OutsidePort>& ports) { punching_->set_outside(ports); }
  // What to say of them, with at most `room`.
  std::vector<Endpoint> candidates(std::size_t room) const;
  NatMapping mapping() const { return punching_->mapping(); }
  // Whether echoes have been asked, and what they said is known: once.
  bool take_answers() { return std::exchange(answered_, false); }

  // ---- Peers.
  // They were introduced to us, and that is their latest record; both try at `start`. What is of no
  // use any more is retired first.
  void met(const std::string& role, const Tie& tie, const PeerRecord& record, TimePoint start,
           TimePoint now, const Retire& retire);
  void forget(const std::string& role, const Retire& retire);
  bool has_path_to(const std::string& role) const;
  // Whom to ask to be introduced to again: once.
  std::vector<std::string> take_wishes(TimePoint now);
  template <typename Call>
  void for_each_source(Call call) const {
    for (const auto& [role, peer] : peers_) {
      for (const auto& source : peer.sources) call(*source);
    }
  }
  // What was tried, and came of it.
  std::vector<PathRung> rungs(const std::string& role) const;
  // Whose rungs have changed since: once.
  std::vector<std::string> take_changed();

 private:
  struct Peer {
    explicit Peer(TimePoint now) : pace(now) {}
    PublicKey key{};
    std::vector<std::vector<PunchTarget>> targets{};
    std::vector<std::unique_ptr<PunchedSource>> sources{};
    bool we_dial = false;
    PunchPace pace;
    std::optional<TimePoint> trying_until{};
    std::optional<TimePoint> connected_since{};  // all lines
    bool changed = false;
  };
  struct Echo {
    HostLookup host;
    std::string name;
    std::uint16_t first;
    std::uint16_t second;
  };

  void tend_peer(Peer& peer, TimePoint now);
  void tend_echo(TimePoint now);
  void refresh_soon(TimePoint now);
  bool all_reached() const;

  Transport& transport_;
  std::unique_ptr<Punching> punching_;
  std::string role_;  // ours
  KeyPair key_;
  std::uint8_t connections_;
  RandomSource& random_;
  std::map<std::string, Peer> peers_;  // by role
  TokenBucket guests_{kGuestPunches, TimePoint{}};
  std::vector<Echo> echoes_;
  std::size_t next_echo_ = 0;  // to be asked
  TimePoint refresh_at_ = TimePoint::max();
  TimePoint asked_at_{};
  bool asked_ = false;
  bool answers_due_ = false;
  bool answered_ = false;
};

}  // namespace ptrain::net
