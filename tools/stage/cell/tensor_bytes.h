// Tensors of libtorch as bytes of a checkpoint, and back.

#pragma once

#include <cstddef>
#include <span>
#include <string>

#include <ATen/ATen.h>

#include "libcommon/ckpt/checkpoint_reader.h"
#include "libcommon/ckpt/tensor.h"

namespace ptrain::stage {

// A view of a contiguous float32 tensor on the CPU, which must outlive it.
ckpt::TensorView tensor_view(std::string name, const at::Tensor& tensor);

// The memory of a contiguous tensor on the CPU.
std::span<std::byte> tensor_bytes(const at::Tensor& tensor);

// Throws Error(corrupt) when tensor `name` of a checkpoint has not this shape, or is not float32.
void check_tensor(const ckpt::CheckpointReader& reader, const std::string& name,
                  const at::Tensor& tensor);
// Reads it into `tensor`, on whatever device that lies.
void read_tensor(const ckpt::CheckpointReader& reader, const std::string& name, at::Tensor& tensor);

}  // namespace ptrain::stage
