#include "libcommon/net/punch_party.h"

#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include "libcommon/net/host_addresses.h"

namespace ptrain::net {
namespace {

PathRung rung_for_people(const PunchLadder::Rung& rung, TimePoint begin) {
  using Outcome = PunchLadder::Outcome;
  PathRung told{.kind = std::string(name_of(rung.target.rung)),
                .at = fmt::format("{}:{}", rung.target.at.host, rung.target.at.port),
                .outcome = std::string(name_of(rung.outcome)),
                .why = rung.why,
                .works = rung.outcome == Outcome::chosen};
  if (rung.decided_at) told.after = std::max(*rung.decided_at - begin, Duration::zero());
  return told;
}

}  // namespace

PunchParty::PunchParty(Transport& transport, std::unique_ptr<Punching> punching, std::string role,
                       KeyPair key, std::uint8_t connections, RandomSource& random)
    : transport_(transport),
      punching_(std::move(punching)),
      role_(std::move(role)),
      key_(std::move(key)),
      connections_(connections),
      random_(random) {}

TimePoint PunchParty::next_tick() const {
  TimePoint next = std::min(punching_->next_tick(), refresh_at_);
  for (const auto& [role, peer] : peers_) {
    const bool may_wish = peer.we_dial && !peer.trying_until && !punching_->asking();
    if (may_wish) next = std::min(next, peer.pace.next_tick());
    if (peer.trying_until) next = std::min(next, *peer.trying_until);
  }
  return next;
}

void PunchParty::tend(TimePoint now) {
  for (auto& [role, peer] : peers_) tend_peer(peer, now);
  tend_echo(now);
}

void PunchParty::tend_peer(Peer& peer, TimePoint now) {
  bool all = true;
  for (const auto& source : peer.sources) {
    if (source->take_loss()) {
      peer.changed = true;
      peer.pace.lost(now);
      refresh_soon(now);
    }
    all = all && source->connected();
  }
  if (!all) peer.connected_since.reset();
  if (all && !peer.connected_since) {
    peer.connected_since = now;
    peer.trying_until.reset();
    peer.pace.reached();
    peer.changed = true;
  }
  if (all && now >= *peer.connected_since + kPunchProved) peer.pace.worked();
  if (peer.trying_until && now >= *peer.trying_until) {
    peer.trying_until.reset();
    peer.changed = true;
    peer.pace.failed(now);
    refresh_soon(now);
  }
}

// ---- Our own holes.

void PunchParty::echo_is_at(const TicketRelay& relay, const std::vector<std::uint16_t>& ports,
                            TimePoint now) {
  if (ports.size() != 2) return;
  const auto known = std::ranges::find(echoes_, relay.control.host, &Echo::name);
  if (known == echoes_.end()) {
    echoes_.push_back({.host = HostLookup(relay.control.host),
                       .name = relay.control.host,
                       .first = ports[0],
                       .second = ports[1]});
  } else {
    known->first = ports[0];
    known->second = ports[1];
  }
  if (!asked_) refresh_at_ = now;
}

void PunchParty::refresh_soon(TimePoint now) {
  refresh_at_ = std::min(refresh_at_, std::max(now, asked_at_ + kLeastRefresh));
}

bool PunchParty::all_reached() const {
  return std::ranges::all_of(
      peers_, [](const auto& each) { return each.second.connected_since.has_value(); });
}

// One echo is enough; the next one has its turn when that says nothing.
void PunchParty::tend_echo(TimePoint now) {
  if (answers_due_ && !punching_->asking()) {
    answers_due_ = false;
    answered_ = true;
    if (punching_->mapping() == NatMapping::unknown) ++next_echo_;
    refresh_at_ = std::min(refresh_at_, now + kRefresh);
  }
  if (now < refresh_at_ || punching_->asking()) return;
  if (echoes_.empty()) {
    refresh_at_ = TimePoint::max();
    return;
  }
  if (asked_ && all_reached() && now >= asked_at_ + kRefresh) {
    refresh_at_ = now + kRefresh;
    return;
  }
  Echo& echo = echoes_[next_echo_ % echoes_.size()];
  const auto address = echo.host.address(now);
  if (!address) {
    if (echo.host.unknown()) ++next_echo_;
    refresh_at_ = now + kLookupPoll;
    return;
  }
  asked_ = answers_due_ = true;
  asked_at_ = now;
  refresh_at_ = TimePoint::max();
  punching_->ask({.host = *address, .first = echo.first, .second = echo.second}, now);
}

std::vector<Endpoint> PunchParty::candidates(std::size_t room) const {
  return hole_candidates(punching_->holes(), ranked_hosts(host_addresses()), room);
}

// ---- Peers.

void PunchParty::met(const std::string& role, const Tie& tie, const PeerRecord& record,
                     TimePoint start, TimePoint now, const Retire& retire) {
  const auto known = peers_.find(role);
  if (known != peers_.end() && known->second.key != record.peer_key) forget(role, retire);
  Peer& peer = peers_.try_emplace(role, now).first->second;
  peer.key = record.peer_key;
  peer.we_dial = tie.we_dial;
  auto targets = punch_targets(record.candidates, own_networks());
  const bool same = targets == peer.targets;
  peer.targets = std::move(targets);
  std::size_t lines = std::min(peer.targets.size(), punching_->holes().size());
  if (tie.we_dial) lines = std::min<std::size_t>(lines, 1u + connections_);
  while (peer.sources.size() < lines) {
    const auto hole = static_cast<std::uint8_t>(peer.sources.size());
    const wire::Purpose purpose = hole == 0 ? wire::Purpose::control : wire::Purpose::bulk;
    peer.sources.push_back(std::make_unique<PunchedSource>(
        transport_, *punching_,
        PunchedSourceOptions{
            .peer = tie.peer,
            .link = introduce_link(purpose, random_),
            .line = {.theirs = record.peer_key,
                     .hole = hole,
                     .we_dial = tie.we_dial,
                     .roles = tie.we_dial ? role_ + " " + role : role + " " + role_},
            .key = key_},
        random_));
  }
  // What goes on with these addresses goes on.
  if (same && peer.trying_until) return;
  const bool all =
      std::ranges::all_of(peer.sources, [now](const auto& source) { return source->fresh(now); });
  const bool guest = !tie.peer;
  if (all || (guest && guests_.level(now) < 1) || !peer.pace.begin(now)) return;
  if (guest) guests_.take(1, now);
  for (const auto& source : peer.sources) {
    const std::size_t hole = source->line().hole;
    if (hole < peer.targets.size()) source->begin(peer.targets[hole], start, now);
  }
  peer.trying_until = start + kPunchTime;
  peer.changed = true;
}

void PunchParty::forget(const std::string& role, const Retire& retire) {
  const auto known = peers_.find(role);
  if (known == peers_.end()) return;
  for (const auto& source : known->second.sources) retire(*source);
  peers_.erase(known);
}

bool PunchParty::has_path_to(const std::string& role) const {
  const auto known = peers_.find(role);
  return known != peers_.end() &&
         std::ranges::any_of(known->second.sources,
                             [](const auto& source) { return source->connected(); });
}

std::vector<std::string> PunchParty::take_wishes(TimePoint now) {
  std::vector<std::string> wishes;
  // What our holes look like now is known first.
  if (punching_->asking()) return wishes;
  for (auto& [role, peer] : peers_) {
    if (peer.we_dial && !peer.trying_until && peer.pace.take_wish(now)) wishes.push_back(role);
  }
  return wishes;
}

std::vector<PathRung> PunchParty::rungs(const std::string& role) const {
  std::vector<PathRung> rungs;
  const auto known = peers_.find(role);
  if (known == peers_.end() || known->second.sources.empty()) return rungs;
  const PunchedSource& first = *known->second.sources.front();
  const PunchAttempt attempt = punching_->attempt(first.line());
  for (const auto& rung : attempt.rungs) rungs.push_back(rung_for_people(rung, attempt.begin));
  if (attempt.came_from) {
    rungs.push_back({.kind = "reversed",
                     .at = fmt::format("{}:{}", attempt.came_from->host, attempt.came_from->port),
                     .outcome = "connected",
                     .works = true});
  }
  return rungs;
}

std::vector<std::string> PunchParty::take_changed() {
  std::vector<std::string> changed;
  for (auto& [role, peer] : peers_) {
    if (std::exchange(peer.changed, false)) changed.push_back(role);
  }
  return changed;
}

}  // namespace ptrain::net
