// Averages of a cell's weights over steps (EMA), which evaluation and export can use in place of
// the weights: average = decay average + (1 - decay) weight after every step.
//
// They begin as the weights themselves, so no correction is needed, after a step that the job
// names: the tail of a run is averaged, not its beginning (Polyak and Juditsky 1992). ".ema" in a
// checkpoint. The same bits however a job is cut.

#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include <ATen/ATen.h>

#include "tools/stage/model/parameter.h"
#include "tools/stage/optim/optimiser.h"

namespace ptrain::stage {

struct AverageConfig {
  double decay = 0;
  std::uint64_t from = 0;  // the update up to which the averages are the weights; 0 is as 1
};

// Another optimiser, and averages of what it makes of the weights. Owns both.
class Averaging final : public Optimiser {
 public:
  // Throws Error(usage) unless the decay is at least 0 and less than 1, Error(io) when there is no
  // memory.
  Averaging(std::unique_ptr<Optimiser> optimiser, const AverageConfig& config,
            const std::vector<Parameter>& parameters);

  // The other's, then the average.
  std::vector<OptimiserState> state(std::size_t i) const override;

 private:
  void update(std::vector<Parameter>& parameters, double lr, double clip_factor) override;

  std::unique_ptr<Optimiser> optimiser_;
  AverageConfig config_;
  std::vector<at::Tensor> averages_;
};

}  // namespace ptrain::stage
