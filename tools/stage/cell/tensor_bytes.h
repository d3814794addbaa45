// Tensors of libtorch as bytes of a checkpoint, and back.

#pragma once

#include <string>

#include <ATen/ATen.h>

#include "libcommon/ckpt/checkpoint_reader.h"
#include "libcommon/ckpt/tensor.h"

namespace ptrain::stage {

// A view of a contiguous float32 tensor on the CPU, which must outlive it.
ckpt::TensorView tensor_view(std::string name, const at::Tensor& tensor);

// Reads tensor `name` of a checkpoint into `tensor`, float32, on whatever device it lies.
// Throws Error(corrupt) when the checkpoint's has another shape or type.
void read_tensor(const ckpt::CheckpointReader& reader, const std::string& name, at::Tensor& tensor);

}  // namespace ptrain::stage
