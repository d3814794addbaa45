#include "tools/stage/engine/job_data.h"

#include <algorithm>
#include <numeric>

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

}  // namespace

JobData::JobData(const job::Job& job)
    : batch_(job.batch),
      seed_(job.train.seed),
      eval_sequences_(job.eval.sequences),
      train_(open_dataset(job, job.data.train)) {
  if (!job.data.val.empty()) validation_.emplace(open_dataset(job, job.data.val));
}

std::vector<std::uint64_t> JobData::windows(Step step, MicrobatchIndex index) const {
  const auto micro = static_cast<std::uint64_t>(batch_.micro);
  const std::uint64_t first =
      step.value() * static_cast<std::uint64_t>(batch_.global) + index.value() * micro;
  std::vector<std::uint64_t> windows(micro);
  for (std::uint64_t i = 0; i < micro; ++i) {
    windows[i] = job::sample_index(seed_, first + i, train_.window_count());
  }
  return windows;
}

std::uint32_t JobData::validation_batches() const {
  if (!validation_) return 0;
  const auto micro = static_cast<std::uint64_t>(batch_.micro);
  return static_cast<std::uint32_t>((validation_sequences() + micro - 1) / micro);
}

std::vector<std::uint64_t> JobData::validation_windows(std::uint32_t batch) const {
  const auto micro = static_cast<std::uint64_t>(batch_.micro);
  const std::uint64_t first = batch * micro;
  std::vector<std::uint64_t> windows(std::min(micro, validation_sequences() - first));
  std::iota(windows.begin(), windows.end(), first);
  return windows;
}

std::string JobData::fingerprint() const {
  const std::string validation = validation_ ? validation_->fingerprint() : "none";
  return to_hex(sha256(train_.fingerprint() + "/" + validation));
}

std::string JobData::training_against(const std::string& other) const {
  const std::size_t shards = train_.shards().size();
  const auto first = train_.shards_of(other);
  if (!first) {
    return fmt::format("{} {} of {} tokens here", shards, shards == 1 ? "shard" : "shards",
                       train_.token_count());
  }
  return fmt::format("it was trained on the first {} of the {} shards that are here, up to {}",
                     *first, shards, train_.shards()[*first - 1].path().string());
}

nlohmann::json JobData::outline() const {
  nlohmann::json all{{"data.train", data::to_json(data::outline_of(train_))}};
  if (validation_) all["data.val"] = data::to_json(data::outline_of(*validation_));
  return all;
}

std::uint64_t JobData::validation_sequences() const {
  const std::uint64_t windows = validation_->window_count();
  const auto wanted = static_cast<std::uint64_t>(eval_sequences_);
  return wanted == 0 ? windows : std::min(wanted, windows);
}

}  // namespace ptrain::stage
