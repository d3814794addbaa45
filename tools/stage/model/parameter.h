// One parameter tensor of a stage with what training keeps beside it.
//
// The tensors are views into the stage's flat buffers: q, k and v of a layer lie next to
// each other, and so do gate and up, so that one matrix product serves them together.
// Copy values in place (copy_); never rebind the members.

#pragma once

#include <ATen/ATen.h>

#include "libcommon/job/model_config.h"

namespace ptrain::stage {

struct Parameter {
  job::ParameterSpec spec;
  at::Tensor value;  // float32 master copy
  at::Tensor grad;   // float32 accumulator, same shape
  // What the matrix products read: a bfloat16 copy, or `value` itself (in float32, and for the
  // weights of the norms).
  at::Tensor compute;
};

}  // namespace ptrain::stage
