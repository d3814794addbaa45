#include "tools/stage/engine/lineage.h"

#include <fmt/format.h>

#include "libcommon/base/error.h"
#include "libcommon/ckpt/store.h"
#include "libcommon/job/job_difference.h"

namespace ptrain::stage {
namespace {

// The keys and both values, or the hashes where the checkpoint does not say its job.
std::string difference(const ckpt::RunState& run, const job::Job& job) {
  const auto keys = job::lineage_differences(job, run.job);
  if (!keys.empty()) return job::here_and("in the checkpoint", keys);
  return fmt::format("its resume hash is '{}', this job's {}", run.resume_hash,
                     job::resume_hash(job));
}

}  // namespace

void require_lineage(const ckpt::Manifest& manifest, const job::Job& job,
                     const std::filesystem::path& directory, const std::string& data_fingerprint,
                     const JobData* data) {
  const ckpt::RunState& run = manifest.run;
  const std::string what =
      fmt::format("{} holds {}", directory.string(), ckpt::step_name(run.step));
  if (run.resume_hash != job::resume_hash(job)) {
    throw Error(ErrorKind::usage, fmt::format("{} of another job: {}", what, difference(run, job)),
                "restore these keys, or set another checkpoint.dir to begin anew");
  }
  if (data_fingerprint.empty() || run.data_fingerprint == data_fingerprint) return;
  const std::string words =
      data == nullptr ? "" : "; " + data->training_against(run.data_fingerprint);
  throw Error(
      ErrorKind::usage,
      fmt::format("{}, trained on other data: their fingerprint is {}, that of data.train {}{}",
                  what, run.data_fingerprint, data_fingerprint, words),
      "restore the training shards, or set another checkpoint.dir to begin anew");
}

}  // namespace ptrain::stage
