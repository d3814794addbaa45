#include "tools/stage/engine/in_flight_choice.h"

#include <algorithm>

#include "libcommon/job/lanes.h"
#include "libcommon/pipeline/schedule.h"
#include "libcommon/pipeline/simulator.h"

namespace ptrain::stage {
namespace {

// The first steps open connections and fill caches: they do not count.
constexpr std::uint64_t kFirstSteps = 1;
// A round trip that takes no larger a part of a microbatch's time costs less than the memory that
// would hide it.
constexpr double kNegligible = 0.1;

// Each lane has a depth of its own, all of them the same.
std::uint32_t of_the_first_lane(const job::Job& job) {
  return job::share_of_lane(static_cast<std::uint32_t>(job.batch.microbatches()),
                            static_cast<std::uint32_t>(job.lanes.count), LaneIndex(0))
      .count;
}

}  // namespace

InFlightChoice::InFlightChoice(const job::Job& job)
    : microbatches_(of_the_first_lane(job)),
      automatic_(job.pipeline.in_flight == job::kAutoInFlight &&
                 job.pipeline.schedule == job::PipelineSchedule::one_f_one_b),
      now_(static_cast<std::uint32_t>(std::max<std::int64_t>(0, job.pipeline.in_flight))) {}

void InFlightChoice::measured(const std::vector<wire::StageTime>& stages) {
  ++steps_;
  if (!automatic_ || stages.size() < 2) return;
  if (steps_ == kFirstSteps + 1) baseline_ = stages;
  if (steps_ <= kFirstSteps + 1) return;
  const std::uint32_t want = wanted(stages);
  if (want > std::max(now_, static_cast<std::uint32_t>(stages.size()))) now_ = want;
}

std::uint32_t InFlightChoice::wanted(const std::vector<wire::StageTime>& stages) const {
  const double microbatches = static_cast<double>(steps_ - 1 - kFirstSteps) * microbatches_;
  const auto count = static_cast<std::uint32_t>(stages.size());
  const auto per_microbatch = [&](double now_s, double before_s) {
    return std::max(0.0, now_s - before_s) / microbatches;
  };
  pipeline::PipelineCost cost;
  double period_s = 0;
  double round_trip_s = 0;
  for (std::uint32_t i = 0; i < count; ++i) {
    period_s = std::max(period_s, per_microbatch(stages[i].compute_s, baseline_[i].compute_s));
    if (i + 1 == count) break;
    const wire::SendingTime& ahead = stages[i].to_next;
    const wire::SendingTime& back = stages[i + 1].to_previous;
    const double ahead_s = per_microbatch(ahead.busy_s, baseline_[i].to_next.busy_s);
    const double back_s = per_microbatch(back.busy_s, baseline_[i + 1].to_previous.busy_s);
    const double link_s = std::max(ahead.round_trip_s, back.round_trip_s) + ahead_s + back_s;
    // A link that is slower than every stage sets the pace.
    period_s = std::max({period_s, ahead_s, back_s});
    round_trip_s = std::max(round_trip_s, link_s);
    cost.links.push_back({.latency_s = link_s / 2});
  }
  cost.stages.assign(count, {.forward_s = period_s, .backward_s = 0});
  if (round_trip_s <= kNegligible * period_s) return count;
  std::uint32_t want =
      std::min(static_cast<std::uint32_t>(pipeline::in_flight_for_round_trip(cost)),
               std::max(count, microbatches_));
  // As many as there are stages every job has room for, or it says so before it starts.
  const auto fits = [&](std::uint32_t depth) {
    for (std::uint32_t i = 0; i < count; ++i) {
      const std::uint32_t needed =
          pipeline::one_f_one_b_depth(count, StageIndex(i), microbatches_, depth);
      if (needed > stages[i].most_in_flight) return false;
    }
    return true;
  };
  while (want > count && !fits(want)) --want;
  return want;
}

}  // namespace ptrain::stage
