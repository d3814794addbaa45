#include "tools/stage/engine/step_agreement.h"

#include <algorithm>
#include <cmath>

#include <fmt/format.h>

#include "libcommon/base/error.h"

namespace ptrain::stage {

wire::StepVerdict agree(Step step, std::span<const wire::StepReport> reports, double clip_norm,
                        std::uint64_t tokens) {
  wire::StepVerdict verdict;
  double squares = 0;
  double loss_sum = 0;
  for (const wire::StepReport& report : reports) {
    for (const double square : report.gradient_squares) squares += square;
    loss_sum += report.loss_sum;
    verdict.stop = verdict.stop || report.stop_requested;
  }
  verdict.loss = loss_sum / static_cast<double>(tokens);
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
