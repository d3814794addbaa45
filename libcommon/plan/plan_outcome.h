// What came of a plan, beside what it had predicted. Pure.

#pragma once

#include <string>
#include <vector>

#include "libcommon/plan/plan_file.h"
#include "libcommon/wire/training.h"

namespace ptrain::plan {

// Where the run was furthest from the plan, in seconds of a step, in words: "the computing of east,
// stage 0, takes 0.61 s of a step instead of 0.55 s", "the link west to east is busy for 0.4 s of a
// step instead of 0.1 s". `stages` is where the time of each stage went, `step_s` what a step took.
// Empty where the plan or the stages do not say.
std::string largest_difference(const PlanFile& plan, const std::vector<wire::StageTime>& stages,
                               double step_s);

}  // namespace ptrain::plan
