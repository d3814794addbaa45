// Averages of a cell's weights over the last steps (EMA), which evaluation and export can use in
// place of the weights: average = decay average + (1 - decay) weight after every step.
//
// They begin as the weights themselves, so no correction is needed, at a step that the job names:
// the tail of a run is averaged, not its beginning. A lane's state where weights are a lane's;
// ".ema" in a checkpoint. Owns the averages. One thread at a time; the same bits however a job is
// cut.

#pragma once

#include <cstddef>
#include <vector>

#include <ATen/ATen.h>

#include "tools/stage/model/parameter.h"
#include "tools/stage/optim/optimiser.h"

namespace ptrain::stage {

class WeightAverage {
 public:
  // Of the weights as they are now. Throws Error(usage) unless the decay is at least 0 and less
  // than 1, Error(io) when there is no memory.
  WeightAverage(double decay, const std::vector<Parameter>& parameters);

  // After an update of `parameters`, those of the construction.
  void update(const std::vector<Parameter>& parameters);

  // Of parameters[i]; written in place to restore a checkpoint.
  OptimiserState state(std::size_t i) const { return {".ema", averages_.at(i)}; }

 private:
  double decay_;
  std::vector<at::Tensor> averages_;
};

}  // namespace ptrain::stage
