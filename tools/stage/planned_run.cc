#include "tools/stage/planned_run.h"

#include <set>
#include <vector>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "libcommon/base/error.h"
#include "libcommon/os/read_file.h"
#include "libcommon/os/storage.h"
#include "libcommon/plan/plan_outcome.h"

namespace ptrain::stage {
namespace {

std::string hosts_of(const plan::PlanFile& plan) {
  std::set<std::string> hosts;
  for (const plan::PlacedCell& cell : plan.view) hosts.insert(cell.host);
  return fmt::format("{}", fmt::join(hosts, ", "));
}

}  // namespace

std::optional<plan::PlanFile> read_plan(const RunOptions& options) {
  if (options.plan_file.empty()) return std::nullopt;
  os::PosixStorage storage;
  return plan::read_plan(os::read_file(storage, options.plan_file, plan::kMaxPlanFileBytes),
                         options.plan_file);
}

RunOptions as_planned(RunOptions options, const plan::PlanFile& plan) {
  options.overrides.insert(options.overrides.end(), plan.set.begin(), plan.set.end());
  if (!options.ticket_file.empty() && options.cells_file.empty() && options.stages == 0) {
    options.stages = plan.stages();
  }
  const bool alone = options.endpoints_file.empty() && options.peers.empty();
  if (plan.stages() > 1 && options.ticket_file.empty() && alone) {
    throw Error(ErrorKind::usage,
                fmt::format("the plan {} has {} stages, and nothing says where the others are",
                            options.plan_file, plan.stages()),
                "name their endpoints, in the order of the stages: --endpoints; or --ticket");
  }
  if (options.host.empty()) return options;
  const std::vector<StageIndex> stages = plan.stages_of(options.host);
  if (stages.empty()) {
    throw Error(
        ErrorKind::usage,
        fmt::format("--host {}: it has no part in the plan {}", options.host, options.plan_file),
        "the plan's hosts are " + hosts_of(plan));
  }
  if (stages.size() > 1) {
    throw Error(ErrorKind::usage,
                fmt::format("--host {}: the plan {} gives it {} stages, and a process has one",
                            options.host, options.plan_file, stages.size()),
                "start a process for each: --stage");
  }
  options.stage = stages.front().value();
  return options;
}

std::string what_came_of(const plan::PlanFile& plan, const TrainingOutcome& outcome,
                         const job::Job& job) {
  if (outcome.tokens == 0 || outcome.time <= Duration::zero()) return "";
  const double time_s = seconds(outcome.time);
  const auto tokens = static_cast<double>(outcome.tokens);
  const double steps = tokens / static_cast<double>(job.tokens_per_step());
  const double step_s = time_s / steps;
  std::string text = fmt::format(
      "the plan had {:.4g} tokens/s, it is {:.4g} ({:.0f} %): a step takes {:.3g} s instead of "
      "{:.3g} s",
      plan.tokens_per_s, tokens / time_s, 100 * tokens / time_s / plan.tokens_per_s, step_s,
      plan.step_s);
  const std::string difference = plan::largest_difference(plan, outcome.times, step_s);
  if (!difference.empty()) text += "; " + difference;
  return text;
}

}  // namespace ptrain::stage
