#include "tools/stage/engine/wait_report.h"

#include <algorithm>
#include <utility>

#include <fmt/format.h>

namespace ptrain::stage {
namespace {

long long whole_seconds(Duration duration) {
  return std::chrono::duration_cast<std::chrono::seconds>(std::max(duration, Duration::zero()))
      .count();
}

}  // namespace

std::string absence_text(std::string_view who, Duration waited, Duration left) {
  return fmt::format("waiting for other stages for {} s, gives up in {} s: {}",
                     whole_seconds(waited), whole_seconds(left), who);
}

std::string waiting_text(std::string_view what, Duration waited) {
  return fmt::format("waiting for {} s for {}", whole_seconds(waited), what);
}

std::string lost_link_text(const net::LostLink& link, TimePoint now) {
  const std::string where = link.path.empty() ? "" : fmt::format(" ({})", link.path);
  return fmt::format("link lost to {}{}, trying again since {} s, gives up in {} s", link.called,
                     where, whole_seconds(now - link.since), whole_seconds(link.ends - now));
}

WaitReport::WaitReport(Drawing drawing, Log& log, const Clock& clock, int fd)
    : log_(log), clock_(clock), line_(clock, fd) {
  draws_ = drawing == Drawing::on_terminals && line_.active();
}

void WaitReport::absent(std::string_view who, TimePoint since, TimePoint ends) {
  const TimePoint now = clock_.now();
  since_ = since;
  disturbed_ = true;
  say_in_intervals(absence_text(who, now - since, ends - now), now - since, kFirstWordAfter);
}

void WaitReport::waiting(std::string_view what, TimePoint since) {
  if (link_is_lost()) return;  // which says more
  if (since_ != since) {
    since_ = since;
    next_ = Duration::zero();
  }
  const Duration waited = clock_.now() - since;
  say_in_intervals(waiting_text(what, waited), waited, std::max(kUsualWait, 2 * longest_));
}

void WaitReport::lost_links(const std::vector<net::LostLink>& lost) {
  const TimePoint now = clock_.now();
  for (auto known = lost_.begin(); known != lost_.end();) {
    const bool still = std::ranges::any_of(
        lost, [&](const net::LostLink& link) { return link.stage == known->first; });
    if (!still && known->second.said) {
      say(fmt::format("the link to {} is back after {} s", known->second.called,
                      whole_seconds(now - known->second.since)));
    }
    known = still ? std::next(known) : lost_.erase(known);
  }
  std::string text;
  std::optional<TimePoint> first;
  for (const net::LostLink& link : lost) {
    if (link.given_up) continue;
    disturbed_ = true;
    Loss& loss = lost_.try_emplace(link.stage, Loss{link.called, link.since}).first->second;
    if (now - link.since < kFirstWordAfter) continue;
    loss.said = true;
    text += (text.empty() ? "" : "; ") + lost_link_text(link, now);
    first = std::min(first.value_or(link.since), link.since);
  }
  if (!first) return;
  if (since_ != first) {
    since_ = first;
    next_ = Duration::zero();
  }
  say_in_intervals(text, now - *first, kFirstWordAfter);
}

void WaitReport::over(TimePoint since) {
  if (!std::exchange(disturbed_, false)) longest_ = std::max(longest_, clock_.now() - since);
  if (!since_) return;
  since_.reset();
  next_ = Duration::zero();
  line_.clear();
}

void WaitReport::say_in_intervals(const std::string& text, Duration waited, Duration first) {
  if (waited < first) return;
  if (draws_) return line_.update(text);
  if (waited < next_) return;
  next_ = std::max<Duration>(2 * waited, std::chrono::seconds(5));
  log_.info(text);
}

// A line that stays. Whatever stands on the terminal's line, also another's, makes way first.
void WaitReport::say(const std::string& line) {
  if (draws_) {
    line_.update(line);
    line_.clear();
  }
  log_.info(line);
}

}  // namespace ptrain::stage
