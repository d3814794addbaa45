#include "tools/stage/engine/step_agreement.h"

#include <algorithm>
#include <cmath>

#include <fmt/format.h>

#include "libcommon/base/error.h"
#include "libcommon/reduce/lane_tree.h"

namespace ptrain::stage {
namespace {

double sum(std::span<const double> lanes, const reduce::LaneRange& node) {
  if (node.count() == 1) return lanes[node.first];
  return sum(lanes, reduce::left_half(node)) + sum(lanes, reduce::right_half(node));
}

}  // namespace

wire::StepVerdict agree(Step step, std::span<const wire::StepReport> reports,
                        std::span<const double> lane_losses, double clip_norm,
                        std::uint64_t tokens) {
  wire::StepVerdict verdict;
  double squares = 0;
  for (const wire::StepReport& report : reports) {
    for (const double square : report.gradient_squares) squares += square;
  }
  const auto lanes = static_cast<std::uint32_t>(lane_losses.size());
  verdict.loss = sum(lane_losses, reduce::all_lanes(lanes)) / static_cast<double>(tokens);
  verdict.gradient_norm = std::sqrt(squares);
  if (!std::isfinite(verdict.loss) || !std::isfinite(verdict.gradient_norm)) {
    throw Error(
        ErrorKind::corrupt,
        fmt::format("training diverged in step {}: loss {}, gradient norm {}", step.value(),
                    verdict.loss, verdict.gradient_norm),
        "start again with a lower optim.lr; the newest checkpoint, where there is one, stays");
  }
  if (clip_norm > 0) {
    verdict.clip_factor = std::min(1.0, clip_norm / (verdict.gradient_norm + 1e-6));
  }
  return verdict;
}

}  // namespace ptrain::stage
