// A run as a plan has it (ptrain-plan(5), PLAN): what a stage takes from the plan, and what came of
// it. The plan's lines change the job, its view says which stage this host holds.

#pragma once

#include <optional>
#include <string>

#include "libcommon/job/job.h"
#include "libcommon/plan/plan_file.h"
#include "tools/stage/engine/engine.h"
#include "tools/stage/run.h"

namespace ptrain::stage {

// Nothing where the options name no plan.
std::optional<plan::PlanFile> read_plan(const RunOptions& options);

// With what the plan says: its lines behind those of --set, and with --host the stage. Throws
// Error(usage) for a host that holds no stage of it, or several.
RunOptions as_planned(RunOptions options, const plan::PlanFile& plan);

// "the plan had 9120 tokens/s, it is 8641 (95 %): a step takes 0.948 s instead of 0.898 s; the
// computing of east, stage 0, takes 0.61 s of a step instead of 0.55 s". The outcome is the
// driver's. Empty where no step was made.
std::string what_came_of(const plan::PlanFile& plan, const TrainingOutcome& outcome,
                         const job::Job& job);

}  // namespace ptrain::stage
