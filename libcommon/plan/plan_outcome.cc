#include "libcommon/plan/plan_outcome.h"

#include <cmath>
#include <cstddef>
#include <optional>

#include <fmt/format.h>

namespace ptrain::plan {
namespace {

// Of a stage, in seconds of a step, what the planner wrote; nothing where it did not.
std::optional<double> planned_s(const nlohmann::ordered_json& stage, const char* key) {
  if (!stage.is_object() || !stage.contains(key) || !stage.at(key).is_number()) return std::nullopt;
  return stage.at(key).get<double>();
}

}  // namespace

std::string largest_difference(const PlanFile& plan, const std::vector<wire::StageTime>& stages,
                               double step_s) {
  const auto planned = plan.explanation.find("stages");
  if (planned == plan.explanation.end() || !planned->is_array()) return "";
  if (planned->size() != stages.size() || plan.view.size() != stages.size()) return "";
  std::string words;
  double largest_s = 0;
  const auto consider = [&](std::optional<double> expected_s, double measured_s,
                            const std::string& what) {
    if (!expected_s || std::abs(measured_s - *expected_s) <= largest_s) return;
    largest_s = std::abs(measured_s - *expected_s);
    words = fmt::format("{} {:.3g} s of a step instead of {:.3g} s", what, measured_s, *expected_s);
  };
  for (std::size_t i = 0; i < stages.size(); ++i) {
    const wire::StageTime& time = stages[i];
    if (!(time.step_s > 0)) return "";  // an earlier release, or no step
    const auto in_a_step_s = [&](double all_s) { return all_s / time.step_s * step_s; };
    const std::string& host = plan.view[i].host;
    const auto& stage = (*planned)[i];
    consider(planned_s(stage, "compute_s"), in_a_step_s(time.compute_s),
             fmt::format("the computing of {}, stage {}, takes", host, i));
    const auto link = [&](std::size_t to) {
      return fmt::format("the link {} to {} is busy for", host, plan.view[to].host);
    };
    if (i > 0) {
      consider(planned_s(stage, "to_previous_s"), in_a_step_s(time.to_previous.busy_s),
               link(i - 1));
    }
    if (i + 1 < stages.size()) {
      consider(planned_s(stage, "to_next_s"), in_a_step_s(time.to_next.busy_s), link(i + 1));
    }
  }
  return words;
}

}  // namespace ptrain::plan
