// The part of a session that has to do with its links: they come and go, and what is sent moves.

#include <algorithm>
#include <utility>

#include "libcommon/net/session.h"

namespace ptrain::net {

using wire::Purpose;

const Session::Link* Session::find(LinkId id) const {
  const auto found = std::ranges::find(links_, id, &Link::id);
  return found == links_.end() ? nullptr : &*found;
}

Session::Link* Session::find(LinkId id) { return const_cast<Link*>(std::as_const(*this).find(id)); }

void Session::link_opened(LinkId id, Route route, const wire::LinkIntroduction& introduction,
                          TimePoint now) {
  links_.push_back({.id = id,
                    .route = route,
                    .introduction = introduction,
                    .opened = now,
                    .greeted_by = now + greeting_patience(),
                    .progress = now,
                    .watch = LinkWatch(
                        {.shortest = options_.patience, .longest = options_.stall_timeout}, now)});
}

Duration Session::greeting_patience() const {
  const Duration long_way =
      std::max<Duration>(greeting_patience_, kGreetingRoundTrips * round_trip_);
  return std::max<Duration>(options_.greeting_timeout,
                            std::min<Duration>(long_way, options_.stall_timeout));
}

void Session::link_lost(LinkId id, TimePoint now) { unlink(id, now); }

void Session::discard(Link& link) {
  if (!std::exchange(link.discarded, true)) discarded_.push_back(link.id);
}

void Session::unlink(LinkId id, TimePoint now) {
  Link* link = find(id);
  if (link == nullptr) return;
  const Purpose purpose = link->introduction.purpose;
  give_up_what_is_on(*link);
  std::erase_if(links_, [id](const Link& each) { return each.id == id; });
  if (choice(purpose).link() == id) choose_links(purpose, now);
}

void Session::give_up_what_is_on(Link& link) {
  for (const UnderWay& each : link.under_way) {
    sequence(each.urgency).out.lost(each.sequence, link.id);
  }
}

std::vector<LinkId> Session::take_discarded_links(TimePoint now) {
  // A link goes only after its last frame has gone.
  if (!farewells_.empty()) return {};
  for (const LinkId id : discarded_) unlink(id, now);
  return std::exchange(discarded_, {});
}

void Session::allow(RouteKinds kinds, TimePoint now) {
  for (const Purpose purpose : wire::kAllPurposes) {
    choice(purpose).allow(kinds);
    choose_links(purpose, now);
  }
}

// All links of the chosen route are sent over.
bool Session::in_use(const Link& link) const {
  const RouteChoice& chosen = choice(link.introduction.purpose);
  return chosen.link() && link.greeted && !link.discarded && chosen.route() == link.route;
}

std::size_t Session::links_in_use(Purpose purpose) const {
  return static_cast<std::size_t>(std::ranges::count_if(links_, [&](const Link& link) {
    return link.introduction.purpose == purpose && in_use(link);
  }));
}

// Of those in use, the one with the least under way; none when each has its fill.
Session::Link* Session::idlest(Purpose purpose, TimePoint now) {
  Link* found = nullptr;
  for (Link& link : links_) {
    if (link.introduction.purpose != purpose || !in_use(link) || link.hello_due) continue;
    if (!leads(link) && link.watch.stalled(now)) continue;
    if (link.under_way_cost > 0 && link.under_way_cost + kMaxFrameCost > kLinkCost) continue;
    if (found == nullptr || link.under_way_cost < found->under_way_cost) found = &link;
  }
  return found;
}

void Session::choose_links(Purpose purpose, TimePoint now) {
  RouteChoice& chosen = choice(purpose);
  const bool had_link = has_link();
  const auto left = chosen.link();
  candidates_.clear();
  for (const Link& link : links_) {
    if (link.introduction.purpose != purpose || !link.greeted || link.discarded) continue;
    candidates_.push_back({.link = link.id, .route = link.route, .watch = &link.watch});
  }
  if (!chosen.choose(candidates_, now)) return;
  if (had_link && !has_link()) {
    linkless_since_ = now;
    outage_ = now - last_heard_ >= kOutageSilence;
    absent_ = false;
    host_answers_since_.reset();
  }
  if (Link* old = left ? find(*left) : nullptr) old->ping_due = true;
  if (!chosen.link()) return;
  if (std::exchange(served_[index(purpose)], true)) ++reconnects_;
  // What lies on links that are not used any more, or has stalled there, goes another way.
  for (Link& link : links_) {
    if (link.introduction.purpose != purpose) continue;
    const bool stalled = link.watch.stalled(now);
    if (stalled || !in_use(link)) give_up_what_is_on(link);
    // What has stalled stays under suspicion until it answers.
    if (!stalled && !in_use(link)) link.watch.relieve();
  }
  owe_report(now);  // the last one may have been lost with the old link
}

// A link that has yet to prove itself is asked more often, so that it soon can. When the one that
// leads falls silent the others are asked what it has still delivered: an answer that they bring
// only later would look like news of it.
TimePoint Session::ping_at(const Link& link, TimePoint now) const {
  const RouteChoice& chosen = choice(link.introduction.purpose);
  const TimePoint regular = link.watch.pinged() + options_.ping_interval;
  if (link.watch.unanswered()) return regular;
  if (!link.watch.proven(now, chosen.trial_time(link.route))) {
    return link.watch.pinged() + options_.ping_interval / kTrialPings;
  }
  const Link* used = chosen.link() ? find(*chosen.link()) : nullptr;
  if (used == nullptr || used == &link) return regular;
  const TimePoint doubtful = used->watch.doubtful_at();
  return link.watch.pinged() < doubtful ? std::min(regular, doubtful) : regular;
}

void Session::check_links(TimePoint now) {
  for (Link& link : links_) {
    if (link.discarded) continue;
    if (link.greeted) {
      if (now - link.progress >= options_.stall_timeout) discard(link);
    } else if (now >= link.greeted_by) {
      greeting_patience_ = 2 * (link.greeted_by - link.opened);
      discard(link);
    }
  }
  for (const Purpose purpose : wire::kAllPurposes) choose_links(purpose, now);
  for (Link& link : links_) {
    if (!link.greeted || link.discarded) continue;
    if (now >= ping_at(link, now)) link.ping_due = true;
    // Beside one that goes on, a stalled link's frames need not wait for it.
    const bool stalled_beside = in_use(link) && !leads(link) && link.watch.stalled(now);
    if (stalled_beside) give_up_what_is_on(link);
  }
}

}  // namespace ptrain::net
