#include "libcommon/net/route_choice.h"

#include <algorithm>
#include <tuple>

namespace ptrain::net {

Duration RouteChoice::trial_time(Route route) const {
  const auto found = failures_.find(route);
  const int doublings = found == failures_.end() ? 0 : std::min(found->second, kMaxDoublings);
  return rules_.trial_time * (1 << doublings);
}

void RouteChoice::fail_route() {
  int& failures = failures_[route_];
  failures = std::min(failures + 1, kMaxDoublings);
}

bool RouteChoice::choose(std::span<const Candidate> candidates, TimePoint now) {
  const bool had_link = link_.has_value();
  const Candidate* used = nullptr;
  for (const Candidate& each : candidates) {
    if (had_link && each.link == *link_) used = &each;
  }
  if (had_link && used == nullptr) {
    fail_route();
    why_none_ = name_of(route_) + " was lost";
    link_.reset();
  }
  if (used != nullptr && !rules_.allowed.contains(route_.kind)) {
    why_none_ = name_of(route_) + " is not allowed";
    link_.reset();
    used = nullptr;
  }
  if (used != nullptr && now < stalls_at(*used->watch)) {
    if (now - used_since_ >= kForgivenAfterTrials * rules_.trial_time) failures_.erase(route_);
    const Candidate* to = better(candidates, now);
    if (to == nullptr) return false;
    return move(*to, name_of(to->route) + " is better than " + name_of(route_), now);
  }
  const Candidate* to = best(candidates, now);
  if (used == nullptr) {
    if (to == nullptr) return had_link;
    const bool same = to->route == route_;
    return move(*to,
                why_none_.empty() ? "the first that worked"
                : same            ? "reconnected"
                                  : why_none_,
                now);
  }
  // It has stalled. What has stalled as well is no way out.
  if (to == nullptr || to->link == used->link || to->watch->stalled(now)) return false;
  patience_ = std::max(2 * patience_, 2 * rules_.patience.shortest);
  fail_route();
  return move(*to, name_of(route_) + " stalled", now);
}

// Where to go from a link that is of no use: what answers, then what has proved itself, then
// the better kind, then the newer connection.
const RouteChoice::Candidate* RouteChoice::best(std::span<const Candidate> candidates,
                                                TimePoint now) const {
  const auto rank = [&](const Candidate& each) {
    return std::tuple(each.watch->stalled(now), !each.watch->proven(now, trial_time(each.route)),
                      each.route, -static_cast<std::int64_t>(each.link.value()));
  };
  const Candidate* found = nullptr;
  for (const Candidate& each : candidates) {
    if (!rules_.allowed.contains(each.route.kind)) continue;
    if (found == nullptr || rank(each) < rank(*found)) found = &each;
  }
  return found;
}

// A proven link of a better kind than the one in use.
const RouteChoice::Candidate* RouteChoice::better(std::span<const Candidate> candidates,
                                                  TimePoint now) const {
  const Candidate* found = best(candidates, now);
  if (found == nullptr || found->route.kind >= route_.kind) return nullptr;
  return found->watch->proven(now, trial_time(found->route)) ? found : nullptr;
}

bool RouteChoice::move(const Candidate& to, std::string why, TimePoint now) {
  if (!why_.empty() && to.route != route_) ++changes_;
  link_ = to.link;
  route_ = to.route;
  why_ = std::move(why);
  why_none_.clear();
  used_since_ = now;
  return true;
}

}  // namespace ptrain::net
