// One tensor and several memories: which of them the tensor and all its views stand for is chosen,
// so that layers which were built over views write to the lane whose turn it is, and nothing is
// copied. Move-only. One thread.

#pragma once

#include <cstddef>
#include <vector>

#include <ATen/ATen.h>

namespace ptrain::stage {

class LaneMemory {
 public:
  // `tensor` is zero, owns all of its storage, and is the first lane's; the others' are zero, too.
  LaneMemory(const at::Tensor& tensor, std::size_t lanes);

  // Precondition: there are so many.
  void select(std::size_t lane);

 private:
  at::Tensor tensor_;
  std::vector<at::DataPtr> parked_;  // by lane; the selected one's is in the tensor
  std::size_t selected_ = 0;
};

}  // namespace ptrain::stage
