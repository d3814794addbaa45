#include "libcommon/net/redial_pace.h"

#include <algorithm>

namespace ptrain::net {

void RedialPace::begin(TimePoint now) {
  begun_ = now;
  ++attempts_;
  ends_at_ = now + (patient() ? kAttemptTimeout : kShortAttempt);
}

void RedialPace::worked() {
  attempts_ = 0;
  backoff_ = kFirstRetry;
  last_retry_ = std::min(last_retry_, kLastRetry);
}

void RedialPace::ended(TimePoint now) {
  retry_at_ = std::max(now, begun_ + backoff_);
  backoff_ = std::min(2 * backoff_, last_retry_);
}

}  // namespace ptrain::net
