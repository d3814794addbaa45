#include "tools/stage/engine/in_flight_choice.h"

#include <algorithm>

#include "libcommon/job/lanes.h"
#include "libcommon/pipeline/automatic_depth.h"

namespace ptrain::stage {
namespace {

// The first steps open connections and fill caches: they do not count.
constexpr std::uint64_t kFirstSteps = 1;

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
  pipeline::DepthCost cost;
  for (std::uint32_t i = 0; i < count; ++i) {
    const double compute_s = per_microbatch(stages[i].compute_s, baseline_[i].compute_s);
    cost.period_s = std::max(cost.period_s, compute_s);
    if (i + 1 == count) break;
    const wire::SendingTime& ahead = stages[i].to_next;
    const wire::SendingTime& back = stages[i + 1].to_previous;
    const double ahead_s = per_microbatch(ahead.busy_s, baseline_[i].to_next.busy_s);
    const double back_s = per_microbatch(back.busy_s, baseline_[i + 1].to_previous.busy_s);
    // A link that is slower than every stage sets the pace.
    cost.period_s = std::max({cost.period_s, ahead_s, back_s});
    cost.round_trips_s.push_back(std::max(ahead.round_trip_s, back.round_trip_s) + ahead_s +
                                 back_s);
  }
  return pipeline::automatic_depth(cost, microbatches_, [&](StageIndex stage, std::uint32_t depth) {
    return depth <= stages[stage.value()].most_in_flight;
  });
}

}  // namespace ptrain::stage
