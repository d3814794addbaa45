#include "tools/stage/engine/engine_loop.h"

#include <utility>

#include <fmt/format.h>

namespace ptrain::stage {
namespace {

// How long one sleep lasts before stop requests are looked at again.
constexpr Duration kWaitSlice = std::chrono::milliseconds(100);

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
  check_stop(activity);
  take_events(Duration::zero());
  if (activity.advance()) {
    wait_is_over();
    return true;
  }
  const Wait wait = activity.waits_for();
  check_losses(wait);
  check_queue(wait);
  return false;
}

// Takes in all that is here; the first event may be so long in coming. False when there was none.
bool EngineLoop::take_events(Duration timeout) {
  auto event = post_.next(timeout);
  if (!event) return false;
  for (; event; event = post_.next(Duration::zero())) {
    if (auto* letter = std::get_if<Letter>(&*event)) {
      inbox_.put(std::move(*letter));
    } else if (auto* gone = std::get_if<Gone>(&*event)) {
      if (!gone->loss) departed_.insert(gone->stage);
      if (gone->loss && !loss_) loss_ = std::move(gone->loss);
    }
  }
  return true;
}

// Until something has come, or there is another reason to look again.
void EngineLoop::wait(Activity& activity) {
  const Wait wait = activity.waits_for();
  const TimePoint begin = clock_.now();
  if (!waits_since_) waits_since_ = begin;
  if (wait.what == Wait::For::disk) {
    activity.await_disk(kWaitSlice);
  } else if (!take_events(kWaitSlice)) {
    say(wait);
  }
  meter_.add(wait, clock_.now() - begin);
}

void EngineLoop::wait_is_over() {
  queue_.reset();
  const auto since = std::exchange(waits_since_, std::nullopt);
  if (!since || report_ == nullptr) return;
  if (report_->link_is_lost()) report_->lost_links(post_.lost_links());
  report_->over(*since);
}

void EngineLoop::check_stop(Activity& activity) {
  if (!stop_requested_()) return;
  if (!stop_seen_) stop_seen_ = clock_.now();
  const Duration within = activity.may_take();
  if (clock_.now() - *stop_seen_ <= within || activity.abandon()) return;
  throw Abandoned(fmt::format("told to stop, and {} did not end within {} s",
                              activity.under_way(), seconds(within)));
}

// All that was sent before it is here by now.
void EngineLoop::check_losses(const Wait& wait) const {
  if (loss_) throw Error(*loss_);
  const bool for_message = wait.what == Wait::For::message;
  const auto whom = for_message ? std::optional(wait.name.source) : wait.whom;
  if (!whom || !departed_.contains(*whom)) return;
  throw Error(ErrorKind::unavailable,
              fmt::format("stage {} has left without {}", whom->value(),
                          for_message ? wire::to_string(wait.name) : to_string(wait)));
}

void EngineLoop::check_queue(const Wait& wait) {
  if (wait.what != Wait::For::room || !wait.whom) return;
  const TimePoint now = clock_.now();
  const ByteCount queued = post_.queued(*wait.whom);
  if (!queue_ || queue_->to != *wait.whom || queue_->queued != queued) {
    queue_ = {*wait.whom, queued, now};
  }
  if (now - queue_->since <= kQueueTimeout) return;
  throw Error(ErrorKind::unavailable,
              fmt::format("stage {} took none of the {} bytes queued for it in {} s",
                          wait.whom->value(), queued.value(), seconds(kQueueTimeout)));
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
