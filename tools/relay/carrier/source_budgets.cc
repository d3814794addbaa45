#include "tools/relay/carrier/source_budgets.h"

#include <algorithm>

namespace ptrain::relay {
namespace {

// A full table is looked through for who is forgiven at most so often: it may be a flood.
constexpr Duration kCleaningInterval = std::chrono::seconds(1);

}  // namespace

bool SourceBudgets::has(const SourceAddress& source, TimePoint now) {
  const auto found = spent_.find(source);
  if (found == spent_.end()) return true;
  return still_spent(found->second, now) + 1 <= limits_.burst;
}

void SourceBudgets::spend(const SourceAddress& source, TimePoint now) {
  auto found = spent_.find(source);
  if (found == spent_.end()) {
    if (spent_.size() >= limits_.sources && !make_room(now)) return;
    found = spent_.emplace(source, Spent{}).first;
  }
  // Not more than the burst: whoever stops is forgiven after burst / per_s seconds.
  found->second = {.amount = std::min(still_spent(found->second, now) + 1, limits_.burst),
                   .as_of = now};
}

double SourceBudgets::still_spent(const Spent& spent, TimePoint now) const {
  return std::max(0.0, spent.amount - seconds(now - spent.as_of) * limits_.per_s);
}

bool SourceBudgets::make_room(TimePoint now) {
  if (now < next_cleaning_) return false;
  next_cleaning_ = now + kCleaningInterval;
  std::erase_if(spent_, [&](const auto& entry) { return still_spent(entry.second, now) == 0; });
  return spent_.size() < limits_.sources;
}

}  // namespace ptrain::relay
