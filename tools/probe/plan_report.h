// A plan for people: whether one machine is faster first, then who holds what, what limits it, what
// would help, and what each loss costs. Pure.

#pragma once

#include <string>

#include "libcommon/plan/plan_file.h"

namespace ptrain::probe_tool {

// Several lines, each with its end. Of a plan that make_plan() has made.
std::string plan_table(const plan::PlanFile& plan);

}  // namespace ptrain::probe_tool
