#include "libcommon/net/punch_ladder.h"

#include <algorithm>
#include <utility>

namespace ptrain::net {

PunchLadder::PunchLadder(std::vector<PunchTarget> targets, TimePoint begin) : begin_(begin) {
  targets.resize(std::min(targets.size(), kMostPunchTargets));
  for (PunchTarget& each : targets) {
    rungs_.push_back({.target = std::move(each), .next_try = begin});
  }
}

std::vector<std::size_t> PunchLadder::take_due(TimePoint now) {
  std::vector<std::size_t> due;
  if (over(now)) {
    end(now);
    return due;
  }
  for (std::size_t i = 0; i < rungs_.size(); ++i) {
    Rung& rung = rungs_[i];
    if (now < rung.next_try) continue;
    rung.next_try = TimePoint::max();
    rung.outcome = Outcome::tried;
    ++rung.tries;
    due.push_back(i);
  }
  return due;
}

void PunchLadder::connected(std::size_t rung) { rungs_[rung].outcome = Outcome::connected; }

void PunchLadder::failed(std::size_t number, Outcome outcome, std::string why, TimePoint now) {
  Rung& rung = rungs_[number];
  rung.outcome = outcome;
  rung.why = std::move(why);
  rung.decided_at = now;
  // Who is somebody else will not be the peer in a moment.
  const bool final = outcome == Outcome::stranger || outcome == Outcome::passed;
  if (final || rung.tries >= kMostPunchTries) return;
  rung.next_try = now + kFirstPunchRetry * (1 << (rung.tries - 1));
}

void PunchLadder::chose(std::size_t number, TimePoint now) {
  rungs_[number].outcome = Outcome::chosen;
  rungs_[number].decided_at = now;
  end(now);
}

void PunchLadder::end(TimePoint now) {
  if (std::exchange(ended_, true)) return;
  for (Rung& rung : rungs_) {
    rung.next_try = TimePoint::max();
    if (rung.outcome == Outcome::tried) rung.outcome = Outcome::silent;
    if (rung.outcome == Outcome::connected) rung.outcome = Outcome::passed;
    if (!rung.decided_at) rung.decided_at = now;
  }
}

TimePoint PunchLadder::next_tick() const {
  if (ended_) return TimePoint::max();
  TimePoint next = begin_ + kPunchTime;
  for (const Rung& rung : rungs_) next = std::min(next, rung.next_try);
  return next;
}

std::string_view name_of(PunchLadder::Outcome outcome) {
  using Outcome = PunchLadder::Outcome;
  switch (outcome) {
    case Outcome::waits:
      return "not tried";
    case Outcome::tried:
      return "being tried";
    case Outcome::connected:
      return "being greeted";
    case Outcome::silent:
      return "no answer";
    case Outcome::refused:
      return "refused";
    case Outcome::unreachable:
      return "unreachable";
    case Outcome::stranger:
      return "somebody else";
    case Outcome::passed:
      return "not needed";
    case Outcome::chosen:
      return "connected";
  }
  return "?";
}

}  // namespace ptrain::net
