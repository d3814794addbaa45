#include "tools/stage/cell/token_batch.h"

namespace ptrain::stage {

TokenBatch token_batch(const data::TokenDataset& dataset, std::span<const std::uint64_t> windows,
                       at::Device device) {
  const auto count = static_cast<std::int64_t>(windows.size());
  const auto length = static_cast<std::int64_t>(dataset.seq_len());
  TokenBatch batch{at::empty({count, length}, at::kInt), at::empty({count, length}, at::kInt)};
  const auto row = [&](at::Tensor& tensor, std::int64_t i) {
    return std::span(tensor.data_ptr<std::int32_t>() + i * length, dataset.seq_len());
  };
  for (std::int64_t i = 0; i < count; ++i) {
    dataset.read_window(windows[static_cast<std::size_t>(i)], row(batch.inputs, i),
                        row(batch.targets, i));
  }
  return {batch.inputs.to(device), batch.targets.to(device)};
}

}  // namespace ptrain::stage
