#include "tools/stage/model/lane_memory.h"

#include <utility>

namespace ptrain::stage {

LaneMemory::LaneMemory(const at::Tensor& tensor, std::size_t lanes)
    : tensor_(tensor), parked_(lanes) {
  for (std::size_t lane = 1; lane < lanes; ++lane) {
    c10::Storage storage = at::zeros_like(tensor).storage();
    parked_[lane] = storage.set_data_ptr(at::DataPtr(nullptr, tensor.device()));
  }
}

// Views share the storage, not the pointer.
void LaneMemory::select(std::size_t lane) {
  if (lane == selected_) return;
  c10::Storage storage = tensor_.storage();
  parked_[selected_] = storage.set_data_ptr(std::move(parked_[lane]));
  selected_ = lane;
}

}  // namespace ptrain::stage
