#include "libcommon/ckpt/averages.h"

#include <fmt/format.h>

#include "libcommon/base/error.h"
#include "libcommon/job/optimiser_state.h"

namespace ptrain::ckpt {

void require_averages(const CheckpointReader& source) {
  const auto parameters = job::parameters(source.manifest().run.model);
  if (source.contains(parameters.front().name + job::kAverageSuffix)) return;
  throw Error(ErrorKind::usage,
              fmt::format("checkpoint {} has no averages of its weights", source.id().hex()),
              "leave --averages out, or train with optim.ema");
}

}  // namespace ptrain::ckpt
