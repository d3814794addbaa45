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

#include <cstdint>
#include <vector>

#include <ATen/ATen.h>

#include "libcommon/job/job.h"
#include "tools/stage/model/parameter.h"

namespace ptrain::stage {

class AdamW {
 public:
  struct Moments {
    at::Tensor exp_avg;     // m, float32, the parameter's shape
    at::Tensor exp_avg_sq;  // v
  };

  AdamW(const job::OptimConfig& config, const std::vector<Parameter>& parameters);

  // One update of `parameters` (those of the construction) from their gradients.
  void step(std::vector<Parameter>& parameters, double lr, double clip_factor);

  // Updates done: n above. Checkpoints save it with the moments and set it back.
  std::uint64_t updates() const { return updates_; }
  void set_updates(std::uint64_t updates) { updates_ = updates; }

  // moments()[i] belongs to parameters[i]; write them in place to restore a checkpoint.
  std::vector<Moments>& moments() { return moments_; }

 private:
  job::OptimConfig config_;
  std::uint64_t updates_ = 0;
  std::vector<Moments> moments_;
};

}  // namespace ptrain::stage
