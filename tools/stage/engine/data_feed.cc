#include "tools/stage/engine/data_feed.h"

#include <algorithm>
#include <span>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "libcommon/base/sha256.h"
#include "libcommon/data/data_outline.h"
#include "libcommon/job/data_order.h"

namespace ptrain::stage {
namespace {

data::TokenDataset open_dataset(const job::Job& job, const std::vector<std::string>& globs) {
  return data::TokenDataset({.globs = globs,
                             .seq_len = static_cast<std::uint64_t>(job.data.seq_len),
                             .vocab_size = static_cast<std::uint32_t>(job.model.vocab_size)});
}

// Reads `count` windows, the i-th being window(i), into one batch.
template <class Window>
TokenBatch read_batch(const data::TokenDataset& dataset, std::int64_t count, at::Device device,
                      Window window) {
  const auto length = static_cast<std::int64_t>(dataset.seq_len());
  TokenBatch batch{at::empty({count, length}, at::kInt), at::empty({count, length}, at::kInt)};
  const auto row = [&](at::Tensor& tensor, std::int64_t i) {
    return std::span(tensor.data_ptr<std::int32_t>() + i * length, dataset.seq_len());
  };
  for (std::int64_t i = 0; i < count; ++i) {
    dataset.read_window(window(i), row(batch.inputs, i), row(batch.targets, i));
  }
  return {batch.inputs.to(device), batch.targets.to(device)};
}

}  // namespace

DataFeed::DataFeed(const job::Job& job, at::Device device)
    : job_(job), device_(device), train_(open_dataset(job, job.data.train)) {
  if (!job.data.val.empty()) validation_.emplace(open_dataset(job, job.data.val));
}

TokenBatch DataFeed::microbatch(Step step, MicrobatchIndex index) const {
  const auto global = static_cast<std::uint64_t>(job_.batch.global);
  const auto micro = static_cast<std::uint64_t>(job_.batch.micro);
  const std::uint64_t first = step.value() * global + index.value() * micro;
  return read_batch(train_, job_.batch.micro, device_, [&](std::int64_t i) {
    return job::sample_index(job_.train.seed, first + static_cast<std::uint64_t>(i),
                             train_.window_count());
  });
}

std::uint32_t DataFeed::validation_batches() const {
  if (!validation_) return 0;
  const auto micro = static_cast<std::uint64_t>(job_.batch.micro);
  return static_cast<std::uint32_t>((validation_sequences() + micro - 1) / micro);
}

TokenBatch DataFeed::validation_batch(std::uint32_t index) const {
  const auto micro = static_cast<std::uint64_t>(job_.batch.micro);
  const std::uint64_t first = index * micro;
  const std::uint64_t count = std::min(micro, validation_sequences() - first);
  return consecutive_windows(*validation_, first, static_cast<std::int64_t>(count), device_);
}

std::string DataFeed::fingerprint() const {
  const std::string validation = validation_ ? validation_->fingerprint() : "none";
  return to_hex(sha256(train_.fingerprint() + "/" + validation));
}

std::string DataFeed::training_against(const std::string& other) const {
  const std::size_t shards = train_.shards().size();
  const auto first = train_.shards_of(other);
  if (!first) {
    return fmt::format("{} {} of {} tokens here", shards, shards == 1 ? "shard" : "shards",
                       train_.token_count());
  }
  return fmt::format("it was trained on the first {} of the {} shards that are here, up to {}",
                     *first, shards, train_.shards()[*first - 1].path().string());
}

nlohmann::json DataFeed::outline() const {
  nlohmann::json all{{"data.train", data::to_json(data::outline_of(train_))}};
  if (validation_) all["data.val"] = data::to_json(data::outline_of(*validation_));
  return all;
}

std::uint64_t DataFeed::validation_sequences() const {
  const std::uint64_t windows = validation_->window_count();
  const auto wanted = static_cast<std::uint64_t>(job_.eval.sequences);
  return wanted == 0 ? windows : std::min(wanted, windows);
}

TokenBatch consecutive_windows(const data::TokenDataset& dataset, std::uint64_t first,
                               std::int64_t count, at::Device device) {
  return read_batch(dataset, count, device,
                    [&](std::int64_t i) { return first + static_cast<std::uint64_t>(i); });
}

}  // namespace ptrain::stage
