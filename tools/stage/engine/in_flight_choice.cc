#include "tools/stage/engine/in_flight_choice.h"

#include <algorithm>

#include "libcommon/pipeline/schedule.h"
#include "libcommon/pipeline/simulator.h"

namespace ptrain::stage {
namespace {

// The first steps open connections and fill caches: what they measure is not yet believed.
constexpr std::uint64_t kFirstSteps = 2;
// A round trip that takes no larger a part of a microbatch's time costs less than the memory that
// would hide it.
constexpr double kNegligible = 0.1;
// Memory is given back when so many steps in a row have asked for less.
constexpr int kStepsOfLess = 8;

}  // namespace

InFlightChoice::InFlightChoice(const job::Job& job)
    : microbatches_(static_cast<std::uint32_t>(job.batch.microbatches())),
      automatic_(job.pipeline.in_flight == job::kAutoInFlight &&
                 job.pipeline.schedule == job::PipelineSchedule::one_f_one_b),
      now_(automatic_ || job.pipeline.in_flight < 0
               ? 0
               : static_cast<std::uint32_t>(job.pipeline.in_flight)) {}

void InFlightChoice::measured(const std::vector<wire::StageTime>& stages) {
  ++steps_;
  if (!automatic_ || stages.size() < 2 || steps_ <= kFirstSteps) return;
  const std::uint32_t want = wanted(stages);
  if (now_ == 0 || want > now_) {
    now_ = want;
    fewer_ = 0;
  } else if (want == now_) {
    fewer_ = 0;
  } else {
    enough_ = fewer_ == 0 ? want : std::max(enough_, want);
    if (++fewer_ < kStepsOfLess) return;
    now_ = enough_;
    fewer_ = 0;
  }
}

std::uint32_t InFlightChoice::wanted(const std::vector<wire::StageTime>& stages) const {
  // A report is of the steps before the one that it comes with.
  const double microbatches = static_cast<double>(steps_ - 1) * microbatches_;
  const auto count = static_cast<std::uint32_t>(stages.size());
  pipeline::PipelineCost cost;
  double period_s = 0;
  double round_trip_s = 0;
  for (std::uint32_t i = 0; i < count; ++i) {
    const double compute_s = stages[i].compute_s / microbatches;
    cost.stages.push_back({.forward_s = compute_s, .backward_s = 0});
    period_s = std::max(period_s, compute_s);
    if (i + 1 == count) break;
    const wire::SendingTime& ahead = stages[i].to_next;
    const wire::SendingTime& back = stages[i + 1].to_previous;
    // In seconds, which are the bytes of a link that carries one in a second.
    cost.links.push_back({.latency_s = (std::max(ahead.round_trip_s, back.round_trip_s) +
                                        (ahead.busy_s + back.busy_s) / microbatches) / 2,
                          .forward_bytes = 0,
                          .backward_bytes = 0});
    period_s = std::max({period_s, ahead.busy_s / microbatches, back.busy_s / microbatches});
    round_trip_s = std::max(round_trip_s, 2 * cost.links.back().latency_s);
  }
  // A link that is slower than every stage sets the pace.
  cost.stages.front().forward_s = period_s;
  std::uint32_t want = count;
  if (round_trip_s > kNegligible * period_s) {
    want = std::max(want, static_cast<std::uint32_t>(pipeline::in_flight_for_round_trip(cost)));
  }
  want = std::min(want, std::max(count, microbatches_));
  // Never less than as many as there are stages: every job has room for those, or says so before
  // it starts.
  const auto fits = [&](std::uint32_t depth) {
    for (std::uint32_t i = 0; i < count; ++i) {
      const std::uint32_t most = stages[i].most_in_flight;
      if (most > 0 && pipeline::one_f_one_b_depth(count, StageIndex(i), microbatches_, depth) > most)
        return false;
    }
    return true;
  };
  while (want > count && !fits(want)) --want;
  return want;
}

}  // namespace ptrain::stage
