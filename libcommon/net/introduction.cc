#include "libcommon/net/introduction.h"

#include <fmt/format.h>

namespace ptrain::net {

std::optional<std::string> mismatch(const Introduction& ours, const Introduction& theirs) {
  if (theirs.run != ours.run) {
    return fmt::format("run '{}', ours is '{}'", theirs.run, ours.run);
  }
  if (theirs.job_hash != ours.job_hash) {
    return fmt::format("job hash {}, ours is {}", theirs.job_hash, ours.job_hash);
  }
  if (theirs.stage_count != ours.stage_count) {
    return fmt::format("a job of {} stages, ours has {}", theirs.stage_count, ours.stage_count);
  }
  const bool both_have_data = !theirs.data_fingerprint.empty() && !ours.data_fingerprint.empty();
  if (both_have_data && theirs.data_fingerprint != ours.data_fingerprint) {
    return fmt::format("data fingerprint {}, ours is {}", theirs.data_fingerprint,
                       ours.data_fingerprint);
  }
  return std::nullopt;
}

}  // namespace ptrain::net
