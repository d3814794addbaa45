#include "tools/stage/cell/token_batch.h"

#include <functional>
#include <numeric>

namespace ptrain::stage {
namespace {

constexpr std::int64_t kStride = 31;  // from a token to the next, prime to no vocabulary in use

}  // namespace

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

at::Tensor tokens_from(std::int64_t first, at::IntArrayRef shape, std::int64_t vocabulary,
                       at::Device device) {
  const std::int64_t count =
      std::accumulate(shape.begin(), shape.end(), std::int64_t{1}, std::multiplies<>());
  const at::Tensor numbers = at::arange(count, at::kLong).mul(kStride).add(first);
  return numbers.remainder(vocabulary).to(at::kInt).view(shape).to(device);
}

}  // namespace ptrain::stage
