// The part of a session that has to do with its paths: they come and go, and lanes move.

#include <algorithm>
#include <utility>

#include "libcommon/net/session.h"

namespace ptrain::net {

using wire::Channel;

const Session::PathState* Session::find(PathId id) const {
  const auto found = std::find_if(paths_.begin(), paths_.end(),
                                  [id](const PathState& path) { return path.id == id; });
  return found == paths_.end() ? nullptr : &*found;
}

Session::PathState* Session::find(PathId id) {
  return const_cast<PathState*>(std::as_const(*this).find(id));
}

void Session::path_opened(PathId id, Route route, Channel channel, TimePoint now) {
  paths_.push_back({.id = id,
                    .route = route,
                    .channel = channel,
                    .opened = now,
                    .progress = now,
                    .watch = PathWatch(
                        {.shortest = options_.patience, .longest = options_.stall_timeout}, now)});
}

void Session::path_lost(PathId id, TimePoint now) { unlink(id, now); }

void Session::discard(PathState& path) {
  if (!std::exchange(path.discarded, true)) discarded_.push_back(path.id);
}

void Session::unlink(PathId id, TimePoint now) {
  std::erase_if(paths_, [id](const PathState& path) { return path.id == id; });
  for (const Channel channel : wire::kAllChannels) {
    if (lane(channel).choice.path() == id) choose_path(channel, now);
  }
}

std::vector<PathId> Session::take_discarded_paths(TimePoint now) {
  // A path goes only after its last frame has gone.
  if (!farewells_.empty()) return {};
  for (const PathId id : discarded_) unlink(id, now);
  return std::exchange(discarded_, {});
}

void Session::allow(PathKinds kinds, TimePoint now) {
  for (const Channel channel : wire::kAllChannels) {
    lane(channel).choice.allow(kinds);
    choose_path(channel, now);
  }
}

bool Session::carries_data(const PathState& path) const {
  return lane(path.channel).choice.path() == path.id;
}

void Session::choose_path(Channel channel, TimePoint now) {
  Lane& each = lane(channel);
  const bool had_service = service_path().has_value();
  const auto left = each.choice.path();
  candidates_.clear();
  for (const PathState& path : paths_) {
    if (path.channel != channel || !path.greeted || path.discarded) continue;
    candidates_.push_back({.path = path.id, .route = path.route, .watch = &path.watch});
  }
  if (!each.choice.choose(candidates_, now)) return;
  if (had_service && !service_path()) {
    pathless_since_ = now;
    outage_ = now - last_heard_ >= kOutageSilence;
    host_answers_since_.reset();
  }
  if (PathState* old = left ? find(*left) : nullptr) {
    // What has stalled stays under suspicion until it answers.
    if (!old->watch.stalled(now)) old->watch.relieve();
    old->ping_due = true;
  }
  if (!each.choice.path()) return;
  if (std::exchange(each.served, true)) ++reconnects_;
  each.out.resend_from(each.out.acknowledged());
  owe_report(now);  // the last one may have been lost with the old path
}

// A path that has yet to prove itself is asked more often, so that it soon can. When the path in
// use falls silent the others are asked what it has still delivered: an answer that they bring
// only later would look like news of it.
TimePoint Session::ping_at(const PathState& path, TimePoint now) const {
  const RouteChoice& choice = lane(path.channel).choice;
  const TimePoint regular = path.watch.pinged() + options_.ping_interval;
  if (path.watch.unanswered()) return regular;
  if (!path.watch.proven(now, choice.trial_time(path.route))) {
    return path.watch.pinged() + options_.ping_interval / kTrialPings;
  }
  const PathState* used = choice.path() ? find(*choice.path()) : nullptr;
  if (used == nullptr || used == &path) return regular;
  const TimePoint doubtful = used->watch.doubtful_at();
  return path.watch.pinged() < doubtful ? std::min(regular, doubtful) : regular;
}

void Session::check_paths(TimePoint now) {
  for (PathState& path : paths_) {
    const bool mute = path.greeted ? now - path.progress >= options_.stall_timeout
                                   : now - path.opened >= options_.greeting_timeout;
    if (mute) discard(path);
  }
  for (const Channel channel : wire::kAllChannels) choose_path(channel, now);
  for (PathState& path : paths_) {
    if (path.greeted && !path.discarded && now >= ping_at(path, now)) path.ping_due = true;
  }
}

}  // namespace ptrain::net
