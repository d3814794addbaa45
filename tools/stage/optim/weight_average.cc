#include "tools/stage/optim/weight_average.h"

#include <cstdint>

#include <fmt/format.h>

#include "libcommon/base/error.h"
#include "libcommon/base/units.h"
#include "libcommon/os/memory_error.h"
#include "tools/stage/optim/linear_mix.h"

namespace ptrain::stage {

WeightAverage::WeightAverage(double decay, const std::vector<Parameter>& parameters)
    : decay_(decay) {
  if (!(decay >= 0 && decay < 1)) {
    throw Error(ErrorKind::usage,
                fmt::format("averages of weights with decay {}; 0 to less than 1 expected", decay));
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

void WeightAverage::update(const std::vector<Parameter>& parameters) {
  if (parameters.size() != averages_.size()) {
    throw Error(ErrorKind::internal, fmt::format("averages of {} parameters, not of {}",
                                                 averages_.size(), parameters.size()));
  }
  for (std::size_t i = 0; i < parameters.size(); ++i) {
    linear_mix(parameters[i].value, {.kept = decay_, .taken = 1.0 - decay_}, averages_[i]);
  }
}

}  // namespace ptrain::stage
