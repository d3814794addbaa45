#include "libcommon/net/path_watch.h"

#include <algorithm>

namespace ptrain::net {

PathWatch::PathWatch(Patience patience, TimePoint now)
    : patience_(patience), proving_since_(now), pinged_(now) {}

void PathWatch::expect_answer(TimePoint now) {
  if (!waiting_since_) waiting_since_ = now;
}

std::uint64_t PathWatch::ping_sent(TimePoint now) {
  expect_answer(now);
  pinged_ = now;
  ++pings_;
  if (timed_ping_ <= answered_) {
    timed_ping_ = pings_;
    timed_since_ = now;
  }
  return pings_;
}

void PathWatch::take_answer(TimePoint now, bool more) {
  if (stalled(now)) {  // it has to prove itself anew
    answers_ = 0;
    proving_since_ = now;
  }
  if (waiting_since_) {
    const Duration gap = now - *waiting_since_;
    if (mean_gap_) gap_deviation_ += (std::chrono::abs(gap - *mean_gap_) - gap_deviation_) / 4;
    mean_gap_ = mean_gap_ ? *mean_gap_ + (gap - *mean_gap_) / 8 : gap;
  }
  waiting_since_.reset();
  if (more || unanswered()) waiting_since_ = now;
}

void PathWatch::data_arrived(TimePoint now, bool more) { take_answer(now, more); }

void PathWatch::ping_answered(std::uint64_t number, TimePoint now, bool more) {
  if (number <= answered_ || number > pings_) return;
  answered_ = number;
  take_answer(now, more);
  ++answers_;
  if (timed_ping_ > answered_) return;
  const Duration sample = now - timed_since_;
  round_trip_ = round_trip_ ? (*round_trip_ * 7 + sample) / 8 : sample;
}

void PathWatch::relieve() {
  if (!unanswered()) waiting_since_.reset();
}

TimePoint PathWatch::stalls_at(Duration patience) const {
  if (!waiting_since_) return TimePoint::max();
  const Duration usual = mean_gap_ ? kStallMeans * *mean_gap_ + kStallDeviations * gap_deviation_
                                   : kUnknownFactor * patience_.shortest;
  return *waiting_since_ +
         std::clamp(std::max(usual, patience), patience_.shortest, patience_.longest);
}

TimePoint PathWatch::doubtful_at() const {
  return waiting_since_ ? *waiting_since_ + patience_.shortest / 2 : TimePoint::max();
}

bool PathWatch::proven(TimePoint now, Duration trial) const {
  return answers_ >= kTrialAnswers && now - proving_since_ >= trial && !stalled(now);
}

}  // namespace ptrain::net
