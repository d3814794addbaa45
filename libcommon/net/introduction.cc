#include "libcommon/net/introduction.h"

#include <fmt/format.h>

namespace ptrain::net {
namespace {

std::string explained(const Introduction& ours, const Introduction& theirs) {
  if (ours.explain == nullptr || ours.terms.empty() || theirs.terms.empty()) return "";
  return ours.explain(ours.terms, theirs.terms);
}

}  // namespace

std::optional<std::string> mismatch(const Introduction& ours, const Introduction& theirs) {
  if (theirs.run != ours.run) {
    return fmt::format("run '{}', ours is '{}'", theirs.run, ours.run);
  }
  if (theirs.job_hash != ours.job_hash) {
    if (auto why = explained(ours, theirs); !why.empty()) return "another job: " + why;
    return fmt::format("job hash {}, ours is {}", theirs.job_hash, ours.job_hash);
  }
  if (theirs.stage_count != ours.stage_count) {
    return fmt::format("a job of {} stages, ours has {}", theirs.stage_count, ours.stage_count);
  }
  const bool both_have_data = !theirs.data_fingerprint.empty() && !ours.data_fingerprint.empty();
  if (both_have_data && theirs.data_fingerprint != ours.data_fingerprint) {
    if (auto why = explained(ours, theirs); !why.empty()) return "other data: " + why;
    return fmt::format("data fingerprint {}, ours is {}", theirs.data_fingerprint,
                       ours.data_fingerprint);
  }
  return std::nullopt;
}

}  // namespace ptrain::net
