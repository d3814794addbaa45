#include "libcommon/net/link_watch.h"

#include <algorithm>

namespace ptrain::net {

void AnswerGap::add(Duration gap) {
  if (!mean_) {
    mean_ = gap;
    return;
  }
  deviation_ += (std::chrono::abs(gap - *mean_) - deviation_) / 4;
  *mean_ += (gap - *mean_) / 8;
}

Duration AnswerGap::limit(const Patience& patience) const {
  if (!mean_) return kUnknownFactor * patience.shortest;
  return kStallMeans * *mean_ + kStallDeviations * deviation_;
}

LinkWatch::LinkWatch(Patience patience, TimePoint now)
    : patience_(patience), proving_since_(now), pinged_(now) {}

void LinkWatch::expect_answer(TimePoint now) {
  if (!waiting_since_) waiting_since_ = now;
}

void LinkWatch::data_sent(TimePoint now) {
  expect_answer(now);
  data_under_way_ = true;
}

std::uint64_t LinkWatch::ping_sent(TimePoint now) {
  expect_answer(now);
  pinged_ = now;
  ++pings_;
  if (timed_ping_ <= answered_) {
    timed_ping_ = pings_;
    timed_since_ = now;
  }
  return pings_;
}

void LinkWatch::take_answer(TimePoint now, bool more) {
  if (stalled(now)) {  // it has to prove itself anew
    answers_ = 0;
    proving_since_ = now;
  }
  if (waiting_since_) (data_under_way_ ? data_gap_ : ping_gap_).add(now - *waiting_since_);
  data_under_way_ = more;
  waiting_since_.reset();
  if (more || unanswered()) waiting_since_ = now;
}

void LinkWatch::data_arrived(TimePoint now, bool more) { take_answer(now, more); }

void LinkWatch::ping_answered(std::uint64_t number, TimePoint now, bool more) {
  if (number <= answered_ || number > pings_) return;
  answered_ = number;
  take_answer(now, more);
  ++answers_;
  if (timed_ping_ > answered_) return;
  const Duration sample = now - timed_since_;
  round_trip_ = round_trip_ ? (*round_trip_ * 7 + sample) / 8 : sample;
}

void LinkWatch::relieve() {
  data_under_way_ = false;
  if (!unanswered()) waiting_since_.reset();
}

TimePoint LinkWatch::stalls_at(Duration patience) const {
  if (!waiting_since_) return TimePoint::max();
  const Duration usual = (data_under_way_ ? data_gap_ : ping_gap_).limit(patience_);
  return *waiting_since_ +
         std::clamp(std::max(usual, patience), patience_.shortest, patience_.longest);
}

TimePoint LinkWatch::doubtful_at() const {
  return waiting_since_ ? *waiting_since_ + patience_.shortest / 2 : TimePoint::max();
}

bool LinkWatch::proven(TimePoint now, Duration trial) const {
  return answers_ >= kTrialAnswers && now - proving_since_ >= trial && !stalled(now);
}

}  // namespace ptrain::net
