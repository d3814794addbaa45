#include "tools/punch/mapping_keeper.h"

#include <algorithm>
#include <utility>

#include <fmt/format.h>

namespace ptrain::punch {
namespace {

constexpr const char* kNoAnswer = "no answer";

}  // namespace

MappingKeeper::MappingKeeper(std::vector<Port> ports, std::chrono::seconds lease)
    : ports_(std::move(ports)), lease_(lease) {}

void MappingKeeper::begin(std::vector<std::string> sources, TimePoint now) {
  if (state_ == State::ending || state_ == State::ended) return;
  sources_.clear();
  for (std::string& name : sources) sources_.push_back({.name = std::move(name)});
  pause_ = kFirstPause;
  look(now);
}

void MappingKeeper::look(TimePoint now) {
  state_ = State::looking;
  used_.reset();
  leases_.clear();
  epoch_.forget();
  reasons_.clear();
  cure_.clear();
  asks_.clear();  // nobody waits for them any more
  head_start_until_ = now + kHeadStart;
  for (SourceNumber i = 0; i < sources_.size(); ++i) {
    sources_[i].standing = Standing::unknown;
    asks_.push_back({.source = i, .what = Look{}});
  }
  choose(now);
}

void MappingKeeper::choose(TimePoint now) {
  std::optional<SourceNumber> best;
  bool all_known = true;
  for (SourceNumber i = 0; i < sources_.size(); ++i) {
    const bool may = all_known || now >= head_start_until_;
    if (sources_[i].standing == Standing::there && may && !best) best = i;
    all_known = all_known && sources_[i].standing != Standing::unknown;
  }
  if (best) return use(*best, now);
  if (!all_known) {
    state_ = State::looking;
    if (now >= head_start_until_) head_start_until_ = TimePoint::min();  // it is over
    return;
  }
  state_ = State::failed;
  again_at_ = now + pause_;
  pause_ = std::min(2 * pause_, kLongestPause);
}

void MappingKeeper::use(SourceNumber source, TimePoint now) {
  state_ = State::asking;
  used_ = source;
  check_at_ = now + kCheckInterval;
  for (const Port& port : ports_) {
    leases_[port] = Lease{};
    ask_for(port);
  }
}

void MappingKeeper::ask_for(const Port& port) {
  Lease& lease = leases_[port];
  lease.asked = true;
  const auto wish = wishes_.find(port);
  asks_.push_back(
      {.source = *used_,
       .what = Map{.port = port,
                   .lifetime = lease_,
                   .wish = wish == wishes_.end() ? std::nullopt : std::optional(wish->second)}});
}

void MappingKeeper::ask_all_again(TimePoint now) {
  check_at_ = now + kCheckInterval;
  for (const auto& [port, lease] : leases_) {
    if (!lease.asked) ask_for(port);
  }
}

// The source in use is of no use: what it has granted goes back to it.
void MappingKeeper::give_up(const std::string& reason, TimePoint now) {
  Source& source = sources_[*used_];
  source.standing = Standing::useless;
  reasons_.push_back(source.name + ": " + reason);
  give_back(*used_, leases_);
  used_.reset();
  leases_.clear();
  epoch_.forget();
  choose(now);
}

void MappingKeeper::lost(const std::string& why, TimePoint now) {
  notes_.push_back(fmt::format("{}: {}; looking again", sources_[*used_].name, why));
  const SourceNumber before = *used_;
  const auto leases = leases_;
  look(now);
  give_back(before, leases);
}

// What is still asked for may yet be granted.
void MappingKeeper::give_back(SourceNumber source, const std::map<Port, Lease>& leases) {
  for (const auto& [port, lease] : leases) {
    if (!lease.outside && !lease.asked) continue;
    Unmap unmap{.port = port};
    if (lease.outside) unmap.outside_port = lease.outside->port;
    asks_.push_back({.source = source, .what = unmap});
  }
}

void MappingKeeper::take(const Outcome& outcome, TimePoint now) {
  if (state_ == State::ending) return take_farewell(outcome);
  if (state_ == State::ended || outcome.source >= sources_.size()) return;
  if (!outcome.port) return take_look(outcome, now);
  take_mapping(outcome, now);
}

void MappingKeeper::take_look(const Outcome& outcome, TimePoint now) {
  Source& source = sources_[outcome.source];
  const auto* alive = std::get_if<Alive>(&outcome.what);
  if (source.standing == Standing::unknown) {
    source.standing = alive != nullptr ? Standing::there : Standing::useless;
    if (alive == nullptr) {
      const auto* refused = std::get_if<Refused>(&outcome.what);
      reasons_.push_back(source.name + ": " + (refused != nullptr ? refused->reason : kNoAnswer));
    }
    if (state_ == State::looking) choose(now);
    return;
  }
  if (used_ != outcome.source || alive == nullptr || state_ != State::holding) return;
  const bool anew = alive->epoch_s && epoch_.restarted(*alive->epoch_s, now);
  const auto moved = [&](const auto& each) {
    return alive->outside && each.second.outside && each.second.outside->address != *alive->outside;
  };
  const bool elsewhere = std::ranges::any_of(leases_, moved);
  if (!anew && !alive->forgot && !elsewhere) return;
  notes_.push_back(fmt::format("{} {}: asking it again", source.name,
                               elsewhere ? "has another outside address"
                               : anew    ? "began anew"
                                         : "has forgotten a mapping"));
  ask_all_again(now);
}

void MappingKeeper::take_mapping(const Outcome& outcome, TimePoint now) {
  // Of one that was given up meanwhile.
  if (used_ != outcome.source || outcome.removal) return;
  const auto lease = leases_.find(*outcome.port);
  if (lease == leases_.end() || !lease->second.asked) return;
  if (const auto* granted = std::get_if<Granted>(&outcome.what)) {
    return take_granted(*outcome.port, *granted, now);
  }
  const auto* refused = std::get_if<Refused>(&outcome.what);
  if (refused == nullptr && !std::holds_alternative<Silent>(outcome.what)) return;
  lease->second.asked = false;
  if (refused != nullptr && !refused->cure.empty()) cure_ = refused->cure;
  const std::string why =
      fmt::format("{}: {}", to_string(*outcome.port), refused ? refused->reason : kNoAnswer);
  if (state_ == State::asking) return give_up(why, now);
  if (refused != nullptr) return lost(why, now);
  lease->second.ask_at = now + std::max(kLeastRetry, (lease->second.expires - now) / 2);
}

void MappingKeeper::take_granted(const Port& port, const Granted& granted, TimePoint now) {
  Lease& lease = leases_[port];
  lease.asked = false;
  const Worthless no_worth = worthless(granted.outside.address);
  const bool empty = granted.lifetime <= std::chrono::seconds(0) || granted.outside.port == 0;
  if (empty || !no_worth.why.empty()) {
    lease.outside = granted.outside;
    const std::string why =
        empty ? to_string(port) + ": granted for no time, or no port" : no_worth.why;
    if (!empty) cure_ = no_worth.cure;
    if (state_ == State::asking) return give_up(why, now);
    return lost(why, now);
  }
  lease.outside = granted.outside;
  lease.granted = granted.lifetime;
  lease.expires = now + granted.lifetime;
  // One that is longer than asked for says nothing about how soon a restart is to be noticed.
  lease.ask_at = now + std::min<Duration>(granted.lifetime, lease_) / 2;
  wishes_[port] = granted.outside;
  if (granted.epoch_s && epoch_.restarted(*granted.epoch_s, now) && state_ == State::holding) {
    notes_.push_back(sources_[*used_].name + " began anew: asking it again");
    for (const auto& [other, each] : leases_) {
      if (!each.asked && other != port) ask_for(other);
    }
  }
  if (state_ == State::asking && holds_all()) {
    state_ = State::holding;
    pause_ = kFirstPause;
    cure_.clear();
  }
}

bool MappingKeeper::holds_all() const {
  return std::ranges::all_of(leases_,
                             [](const auto& each) { return each.second.outside.has_value(); });
}

void MappingKeeper::announced(SourceNumber source, TimePoint now) {
  if (now < heed_from_) return;
  if (state_ == State::holding && used_ == source) {
    heed_from_ = now + kLeastRetry;
    // A restart within seconds of the first grant would not show in the epoch (epoch.h).
    ask_all_again(now);
  } else if (state_ == State::failed && source < sources_.size()) {
    heed_from_ = now + kLeastRetry;
    look(now);
  }
}

void MappingKeeper::tick(TimePoint now) {
  switch (state_) {
    case State::looking:
      return choose(now);
    case State::holding:
      return tick_holding(now);
    case State::failed:
      if (now >= again_at_) look(now);
      return;
    case State::ending:
      if (now >= farewell_until_) state_ = State::ended;
      return;
    case State::asking:
    case State::ended:
      return;
  }
}

void MappingKeeper::tick_holding(TimePoint now) {
  for (auto& [port, lease] : leases_) {
    if (now >= lease.expires) return lost(to_string(port) + ": its lease has ended", now);
  }
  for (auto& [port, lease] : leases_) {
    if (!lease.asked && now >= lease.ask_at) ask_for(port);
  }
  if (now < check_at_) return;
  check_at_ = now + kCheckInterval;
  asks_.push_back({.source = *used_, .what = Look{}});
}

TimePoint MappingKeeper::next() const {
  switch (state_) {
    case State::looking:
      return head_start_until_ == TimePoint::min() ? TimePoint::max() : head_start_until_;
    case State::failed:
      return again_at_;
    case State::ending:
      return farewell_until_;
    case State::holding: {
      TimePoint next = check_at_;
      for (const auto& [port, lease] : leases_) {
        next = std::min(next, lease.asked ? lease.expires : std::min(lease.ask_at, lease.expires));
      }
      return next;
    }
    case State::asking:
    case State::ended:
      return TimePoint::max();
  }
  return TimePoint::max();
}

void MappingKeeper::finish(TimePoint now) {
  if (state_ == State::ending || state_ == State::ended) return;
  asks_.clear();
  if (used_) give_back(*used_, leases_);
  for (const Ask& ask : asks_) leaving_.insert(std::get<Unmap>(ask.what).port);
  farewell_until_ = now + kFarewell;
  state_ = leaving_.empty() ? State::ended : State::ending;
}

void MappingKeeper::take_farewell(const Outcome& outcome) {
  if (!outcome.port || used_ != outcome.source || !outcome.removal) return;
  if (const auto* refused = std::get_if<Refused>(&outcome.what)) {
    notes_.push_back(fmt::format("{} does not remove {}: {}", sources_[*used_].name,
                                 to_string(*outcome.port), refused->reason));
  }
  leaving_.erase(*outcome.port);
  if (leaving_.empty()) state_ = State::ended;
}

std::vector<Ask> MappingKeeper::take_asks() { return std::exchange(asks_, {}); }

std::vector<std::string> MappingKeeper::take_notes() { return std::exchange(notes_, {}); }

std::map<Port, Outside> MappingKeeper::outside() const {
  std::map<Port, Outside> held;
  if (state_ != State::holding) return held;
  for (const auto& [port, lease] : leases_) held[port] = *lease.outside;
  return held;
}

std::optional<SourceNumber> MappingKeeper::source() const {
  return state_ == State::holding ? used_ : std::nullopt;
}

std::chrono::seconds MappingKeeper::shortest_lease() const {
  std::chrono::seconds shortest = lease_;
  for (const auto& [port, lease] : leases_) shortest = std::min(shortest, lease.granted);
  return shortest;
}

}  // namespace ptrain::punch
