#include "libcommon/job/job.h"

#include <algorithm>
#include <cmath>
#include <numbers>
#include <utility>

#include <nlohmann/json.hpp>

#include "libcommon/base/sha256.h"
#include "libcommon/job/job_keys.h"

namespace ptrain::job {
namespace {

// Keys in alphabetical order, numbers in the shortest form that reads back as the same.
std::string canonical_json_of(const Job& job, bool (*included)(KeyScope)) {
  nlohmann::json values = nlohmann::json::object();
  for (const JobKey& key : job_keys()) {
    if (!included(key.scope)) continue;
    nlohmann::json value = key.canonical ? key.canonical(job) : key.read(job);
    if (!value.is_null()) values[key.name] = std::move(value);
  }
  return values.dump();
}

}  // namespace

double learning_rate(const OptimConfig& optim, std::uint64_t step, std::uint64_t steps) {
  const std::uint64_t update = step + 1;  // the run's last one is update `steps`
  const std::uint64_t peak = std::max<std::uint64_t>(optim.warmup_steps, 1);
  if (update <= peak) {
    return optim.lr * static_cast<double>(update) / static_cast<double>(peak);
  }
  const std::uint64_t falling = steps > peak ? steps - peak : 1;
  const double progress =
      std::min(1.0, static_cast<double>(update - peak) / static_cast<double>(falling));
  double above_minimum = 1.0;
  switch (optim.schedule) {
    case LearningRateSchedule::cosine:
      above_minimum = 0.5 * (1.0 + std::cos(std::numbers::pi * progress));
      break;
    case LearningRateSchedule::linear:
      above_minimum = 1.0 - progress;
      break;
    case LearningRateSchedule::constant:
      break;
  }
  return optim.lr * (optim.min_lr_ratio + (1.0 - optim.min_lr_ratio) * above_minimum);
}

WireCodec wire_codec(WireCodec codec, ComputePrecision precision) {
  if (codec != WireCodec::exact) return codec;
  return precision == ComputePrecision::bfloat16 ? WireCodec::bf16 : WireCodec::fp32;
}

std::string canonical_json(const Job& job) {
  return canonical_json_of(job, [](KeyScope scope) { return scope != KeyScope::host; });
}

std::string job_hash(const Job& job) { return to_hex(sha256(canonical_json(job))); }

std::string resume_hash(const Job& job) {
  return to_hex(
      sha256(canonical_json_of(job, [](KeyScope scope) { return scope == KeyScope::lineage; })));
}

}  // namespace ptrain::job
