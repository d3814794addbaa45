// AdamW: Adam with decoupled weight decay (Loshchilov and Hutter, 2019, algorithm 2),
//
//   m = beta1 m + (1 - beta1) g          v = beta2 v + (1 - beta2) g^2
//   w = w - lr (m' / (sqrt(v') + eps) + decay w)     with m' = m / (1 - beta1^n), v' likewise
//
// where g is the accumulated gradient times the clip factor, and decay applies only where
// spec.decay says so. One pass over the memory updates moments and master weights and writes
// the bfloat16 copy that the next forward reads.
//
// Owns the moments, in the order of the parameters given at construction. One thread at a
// time; results do not depend on the number of OpenMP threads.

#pragma once

#include <cstddef>
#include <vector>

#include <ATen/ATen.h>

#include "libcommon/job/job.h"
#include "tools/stage/model/parameter.h"
#include "tools/stage/optim/optimiser.h"

namespace ptrain::stage {

class AdamW final : public Optimiser {
 public:
  struct Moments {
    at::Tensor exp_avg;     // m, float32, the parameter's shape
    at::Tensor exp_avg_sq;  // v
  };

  AdamW(const job::OptimConfig& config, const std::vector<Parameter>& parameters);

  // updates() is n above.
  std::vector<OptimiserState> state(std::size_t i) const override;

 private:
  void update(std::vector<Parameter>& parameters, double lr, double clip_factor) override;

  job::OptimConfig config_;
  std::vector<Moments> moments_;
};

}  // namespace ptrain::stage
