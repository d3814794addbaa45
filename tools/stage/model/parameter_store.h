// The memory of a stage's parameters: one flat buffer each for master weights, gradients (of each
// lane) and compute copies, and views into them, one for each parameter and one for each group of
// projections that share an input.

#pragma once

#include <cstddef>
#include <optional>
#include <vector>

#include <ATen/ATen.h>

#include "libcommon/job/model_config.h"
#include "tools/stage/model/lane_memory.h"
#include "tools/stage/model/ops.h"
#include "tools/stage/model/parameter.h"

namespace ptrain::stage {

// A weight as a block uses it: what it multiplies with, and where its gradient goes.
struct Weight {
  at::Tensor value;
  at::Tensor grad;
};

class ParameterStore {
 public:
  ParameterStore(const std::vector<job::ParameterSpec>& specs, const Ops& ops, std::size_t lanes);

  std::vector<Parameter>& parameters() { return parameters_; }

  // Parameter `index` in its compute form.
  Weight weight(std::size_t index) const;
  // `count` adjacent projections as one matrix, their outputs one after another.
  Weight fused(std::size_t index, std::size_t count) const;

  // Whose gradients all views of gradients are of; at first lane 0.
  void select_lane(std::size_t lane) { lanes_->select(lane); }
  at::Tensor flat_gradient() const { return grads_; }

  // Of the selected lane.
  void zero_gradients();
  void refresh_compute(Ops& ops);

 private:
  std::vector<Parameter> parameters_;
  std::vector<std::int64_t> offsets_;  // in elements, of each parameter in each buffer
  at::Tensor values_;
  at::Tensor grads_;
  std::optional<LaneMemory> lanes_;  // of grads_
  at::Tensor compute_;
};

}  // namespace ptrain::stage
