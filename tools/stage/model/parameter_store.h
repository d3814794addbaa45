// The memory of a stage's parameters: one flat buffer each for master weights, gradients and
// compute copies, and views into them, one for each parameter and one for each group of
// projections that share an input.

#pragma once

#include <cstddef>
#include <vector>

#include <ATen/ATen.h>

#include "libcommon/job/model_config.h"
#include "tools/stage/model/ops.h"
#include "tools/stage/model/parameter.h"

namespace ptrain::stage {

// A weight as a layer uses it: what it multiplies with, and where its gradient goes.
struct Weight {
  at::Tensor value;
  at::Tensor grad;
};

class ParameterStore {
 public:
  ParameterStore(const std::vector<job::ParameterSpec>& specs, const Ops& ops);

  std::vector<Parameter>& parameters() { return parameters_; }

  // Parameter `index` in its compute form.
  Weight weight(std::size_t index) const;
  // `count` adjacent projections as one matrix, their outputs one after another.
  Weight fused(std::size_t index, std::size_t count) const;

  void zero_gradients();
  void refresh_compute(Ops& ops);

 private:
  std::vector<Parameter> parameters_;
  std::vector<std::int64_t> offsets_;  // in elements, of each parameter in each buffer
  at::Tensor values_;
  at::Tensor grads_;
  at::Tensor compute_;
};

}  // namespace ptrain::stage
