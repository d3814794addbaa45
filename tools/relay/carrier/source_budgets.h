// What strangers may do, by where they come from: tokens of a bucket for each source address,
// in a bounded table. Pure; one thread.

#pragma once

#include <cstddef>
#include <map>

#include "libcommon/base/clock.h"
#include "tools/relay/carrier/source_address.h"

namespace ptrain::relay {

struct SourceBudgetLimits {
  double burst = 64;
  double per_s = 4;
  std::size_t sources = 8192;  // remembered at a time
};

class SourceBudgets {
 public:
  explicit SourceBudgets(SourceBudgetLimits limits) : limits_(limits) {}

  // Whether something is left for that source. When so many sources have spent of their budgets
  // that the table is full, a new one is taken for innocent: otherwise those many would shut out
  // all others, and what one does is bounded elsewhere as well.
  bool has(const SourceAddress& source, TimePoint now);
  void spend(const SourceAddress& source, TimePoint now);
  std::size_t remembered() const { return spent_.size(); }

 private:
  struct Spent {
    double amount = 0;
    TimePoint as_of{};
  };
  double still_spent(const Spent& spent, TimePoint now) const;
  bool make_room(TimePoint now);

  SourceBudgetLimits limits_;
  std::map<SourceAddress, Spent> spent_;
  TimePoint next_cleaning_{};
};

}  // namespace ptrain::relay
