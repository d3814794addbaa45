#include "libcommon/probe/echo_train.h"

#include <algorithm>

#include <fmt/format.h>

namespace ptrain::probe {

std::uint64_t EchoTrain::ask(TimePoint now) {
  // Where a turn was late the next is not early: echoes do not queue behind each other.
  next_at_ = std::max(next_at_ + interval_, now + interval_ / 2);
  asked_.emplace(++number_, now);
  return number_;
}

std::optional<std::string> EchoTrain::answered(std::uint64_t number, TimePoint now) {
  const auto asked = asked_.find(number);
  if (asked == asked_.end()) {
    return fmt::format("it answers echo {}, which was not asked for", number);
  }
  if (number >= first_counted_) measured_.push_back(now - asked->second);
  asked_.erase(asked);
  return std::nullopt;
}

}  // namespace ptrain::probe
