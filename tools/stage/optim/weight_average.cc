#include "tools/stage/optim/weight_average.h"

#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include "libcommon/base/error.h"
#include "libcommon/base/units.h"
#include "libcommon/job/optimiser_state.h"
#include "libcommon/os/memory_error.h"
#include "tools/stage/optim/linear_mix.h"

namespace ptrain::stage {

Averaging::Averaging(std::unique_ptr<Optimiser> optimiser, const AverageConfig& config,
                     const std::vector<Parameter>& parameters)
    : optimiser_(std::move(optimiser)), config_(config) {
  if (!(config.decay >= 0 && config.decay < 1)) {
    throw Error(
        ErrorKind::usage,
        fmt::format("averages of weights with decay {}; 0 to less than 1 expected", config.decay));
  }
  std::uint64_t bytes = 0;
  for (const Parameter& parameter : parameters) {
    if (parameter.value.is_cpu()) bytes += parameter.value.nbytes();
  }
  os::require_memory("the averages of weights", ByteCount(bytes));
  for (const Parameter& parameter : parameters) {
    averages_.push_back(parameter.value.clone(at::MemoryFormat::Contiguous));
  }
}

std::vector<OptimiserState> Averaging::state(std::size_t i) const {
  std::vector<OptimiserState> state = optimiser_->state(i);
  state.push_back({job::kAverageSuffix, averages_.at(i)});
  return state;
}

void Averaging::update(std::vector<Parameter>& parameters, double lr, double clip_factor) {
  optimiser_->set_updates(updates() - 1);  // ours may have come from a checkpoint
  optimiser_->step(parameters, lr, clip_factor);
  const bool begins = updates() <= std::max<std::uint64_t>(config_.from, 1);
  for (std::size_t i = 0; i < averages_.size(); ++i) {
    if (begins) {
      averages_[i].copy_(parameters[i].value);
    } else {
      linear_mix(parameters[i].value, {.kept = config_.decay, .taken = 1.0 - config_.decay},
                 averages_[i]);
    }
  }
}

}  // namespace ptrain::stage
