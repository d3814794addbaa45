#include "tools/stage/engine/engine_loop.h"

#include <utility>

#include <fmt/format.h>

namespace ptrain::stage {
namespace {

// How long one sleep lasts before stop requests are looked at again.
constexpr Duration kWaitSlice = std::chrono::milliseconds(100);
// That are taken in before stop requests are looked at again, whoever sends them.
constexpr std::size_t kMostEvents = 1024;

}  // namespace

EngineLoop::EngineLoop(Post& post, Inbox& inbox, WaitMeter& meter,
                       std::function<bool()> stop_requested, const Clock& clock)
    : post_(post),
      inbox_(inbox),
      meter_(meter),
      stop_requested_(std::move(stop_requested)),
      clock_(clock) {}

void EngineLoop::run(Activity& activity) {
  while (!activity.done()) {
    if (!turn(activity)) wait(activity);
  }
}

bool EngineLoop::turn(Activity& activity) {
  take_events(Duration::zero());
  // What is as good as done is done, also when the time for it is over.
  if (activity.takes_long() && check_stop(activity)) return true;
  if (activity.advance()) {
    wait_is_over();
    return true;
  }
  if (check_stop(activity)) return true;
  check_losses(activity.waits_for());
  return false;
}

// Takes in all that is here; the first event may be so long in coming. False when there was none.
bool EngineLoop::take_events(Duration timeout) {
  auto event = post_.next(timeout);
  if (!event) return false;
  for (std::size_t i = 0; event && i < kMostEvents; ++i, event = post_.next(Duration::zero())) {
    if (auto* letter = std::get_if<Letter>(&*event)) {
      inbox_.put(std::move(*letter));
    } else if (auto* gone = std::get_if<Gone>(&*event)) {
      if (!gone->loss) departed_.insert(gone->worker);
      if (gone->loss && !loss_) loss_ = std::move(gone->loss);
    }
  }
  return true;
}

// Until something has come, or there is another reason to look again.
void EngineLoop::wait(Activity& activity) {
  const Wait wait = activity.waits_for();
  const TimePoint begin = clock_.now();
  if (wait.what == Wait::For::disk) {
    activity.await_disk(kWaitSlice);
  } else {
    if (!waits_since_) waits_since_ = begin;
    if (!take_events(kWaitSlice)) say(wait);
  }
  meter_.add(wait, clock_.now() - begin);
}

void EngineLoop::wait_is_over() {
  const auto since = std::exchange(waits_since_, std::nullopt);
  if (!since || report_ == nullptr) return;
  if (report_->link_is_lost()) report_->lost_links(post_.lost_links());
  report_->over(*since);
}

// True where something was given up.
bool EngineLoop::check_stop(Activity& activity) {
  if (!stop_requested_()) return false;
  if (!stop_seen_) stop_seen_ = clock_.now();
  const Duration within = activity.may_take();
  if (clock_.now() - *stop_seen_ <= within) return false;
  if (activity.abandon()) return true;
  throw Abandoned(fmt::format("told to stop, and {} did not end within {} s", activity.under_way(),
                              seconds(within)));
}

// All that was sent before it is here by now.
void EngineLoop::check_losses(const Wait& wait) const {
  if (loss_) throw Error(*loss_);
  if (!wait.whom || !departed_.contains(*wait.whom)) return;
  const std::string who = post_.place().layout().called(*wait.whom);
  throw Error(ErrorKind::unavailable,
              wait.what == Wait::For::message
                  ? fmt::format("{} has left without {}", who, to_string(wait))
                  : fmt::format("{} has left while this one waited for {}", who, to_string(wait)));
}

void EngineLoop::say(const Wait& wait) {
  if (report_ == nullptr) return;
  const TimePoint now = clock_.now();
  if (said_at_ && now - *said_at_ < kWaitSlice) return;
  said_at_ = now;
  report_->lost_links(post_.lost_links());
  report_->waiting(to_string(wait), *waits_since_);
}

}  // namespace ptrain::stage
