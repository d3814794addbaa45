#include "libcommon/ckpt/snapshot.h"

#include <cstring>

namespace ptrain::ckpt {

const std::vector<TensorView>& Snapshot::assign(std::span<const TensorView> tensors) {
  std::size_t total_bytes = 0;
  for (const TensorView& tensor : tensors) total_bytes += tensor.bytes.size();
  if (total_bytes > capacity_bytes_) {
    release();  // before the new block, so the two never stand side by side
    memory_ = std::make_unique_for_overwrite<std::byte[]>(total_bytes);
    capacity_bytes_ = total_bytes;
  }
  tensors_.clear();
  std::byte* at = memory_.get();
  for (const TensorView& tensor : tensors) {
    const std::size_t bytes = tensor.bytes.size();
    if (bytes > 0) std::memcpy(at, tensor.bytes.data(), bytes);
    tensors_.push_back({tensor.info, {at, bytes}});
    at += bytes;
  }
  return tensors_;
}

void Snapshot::release() {
  tensors_.clear();
  memory_.reset();
  capacity_bytes_ = 0;
}

}  // namespace ptrain::ckpt
