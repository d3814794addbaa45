// The keys of a job file, in one table: name, type, limits, default, meaning, and
// how each is set in a Job and read from it. The TOML reader, `--set`,
// config.json, the job's hash and ptrain-job(5) all follow this table.

#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <nlohmann/json_fwd.hpp>

#include "libcommon/job/job.h"
#include "libcommon/job/value_rules.h"

namespace ptrain::job {

inline constexpr std::int64_t kMaxVocabSize = std::int64_t{1} << 31;  // 32-bit shards, and torch's
                                                                      // class indices
inline constexpr std::int64_t kMaxHiddenSize = 1 << 17;
inline constexpr std::int64_t kMaxIntermediateSize = 1 << 20;
inline constexpr std::int64_t kMaxLayers = 1024;
inline constexpr std::int64_t kMaxHeads = 1024;
inline constexpr std::int64_t kMaxHeadDim = 1024;
inline constexpr std::int64_t kMaxPositions = 1 << 24;
inline constexpr std::int64_t kMaxSeqLen = 1 << 20;
inline constexpr std::int64_t kMaxBatch = 1 << 16;
inline constexpr std::int64_t kMaxSteps = 100'000'000;
inline constexpr std::int64_t kMaxStages = 1000;
inline constexpr std::int64_t kMaxInFlight = 1 << 16;
inline constexpr std::int64_t kMaxSequences = std::int64_t{1} << 40;
inline constexpr std::size_t kMaxGlobs = 4096;
inline constexpr std::uint64_t kMaxCheckpointSeconds = 7 * 24 * 3600;
// The tokens of a whole run can be counted.
static_assert(kMaxSteps < INT64_MAX / kMaxBatch / kMaxSeqLen);

// What a key decides, and so which hash it is part of.
enum class KeyScope {
  lineage,  // what a checkpoint must share with the job that resumes it: both hashes
  run,      // what all stages of a run must share: the job's hash
  host,     // what each host may decide for itself: neither
};

struct JobKey {
  std::string name;      // TABLE.KEY
  std::string type;      // "integer", "number", "array of strings", ...
  std::string allowed;   // "1 to 1024"; empty where any value of the type is
  std::string fallback;  // what an absent key means: a value, or where it is taken from
  std::string meaning;
  bool required = false;
  KeyScope scope = KeyScope::run;
  std::optional<IntegerRange> integer_range;  // of keys that take integers
  std::optional<NumberRange> number_range;    // of keys of type "number"

  // Sets the value, or says what is wrong with it and leaves the job as it was.
  std::function<Problem(Job&, const nlohmann::json&)> assign;
  // The value that the job has; null for model.config, which leaves no trace in the job.
  std::function<nlohmann::json(const Job&)> read;
  // What stands for it in the job's hash and in checkpoints, where that is not what read() says;
  // null: nothing. A key that younger releases have leaves no trace at its default, so that jobs
  // which do not name it keep the hash that they had before there was the key.
  std::function<nlohmann::json(const Job&)> canonical;
};

const std::vector<JobKey>& job_keys();

// The key of this name, or none.
const JobKey* find_job_key(std::string_view name);

// The names of the tables ("model", "data", ...), in the table's order.
std::vector<std::string> job_tables();

}  // namespace ptrain::job
