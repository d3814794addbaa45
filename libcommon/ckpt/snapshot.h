// A copy of tensors in one block of memory, reused from one save to the next: what
// a stage takes at a step boundary and writes behind. A resource: moved, not copied.

#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <vector>

#include "libcommon/ckpt/tensor.h"

namespace ptrain::ckpt {

class Snapshot {
 public:
  // Copies; earlier views become invalid. Returns views of the copies, in the same order.
  const std::vector<TensorView>& assign(std::span<const TensorView> tensors);
  const std::vector<TensorView>& tensors() const { return tensors_; }
  // Gives the memory back.
  void release();

 private:
  std::unique_ptr<std::byte[]> memory_;
  std::size_t capacity_bytes_ = 0;
  std::vector<TensorView> tensors_;
};

}  // namespace ptrain::ckpt
