#include "tools/stage/engine/common_checkpoint.h"

#include <algorithm>
#include <vector>

#include "libcommon/base/error.h"

namespace ptrain::stage {
namespace {

void keep_common(std::vector<wire::CheckpointName>& names,
                 const std::vector<wire::CheckpointName>& theirs) {
  std::erase_if(names, [&](const wire::CheckpointName& name) {
    return std::ranges::find(theirs, name) == theirs.end();
  });
}

}  // namespace

wire::ResumeChoice best_of(const std::map<StageIndex, wire::ResumeOffer>& offers,
                           const wire::ResumeOffer& ours, bool named) {
  std::vector<wire::CheckpointName> common = ours.checkpoints;  // newest first
  std::vector<wire::CheckpointName> shares = ours.shares;       // the same
  bool anyone_has_one = !common.empty();
  for (const auto& [stage, theirs] : offers) {
    anyone_has_one = anyone_has_one || !theirs.checkpoints.empty();
    keep_common(common, theirs.checkpoints);
    keep_common(shares, theirs.shares);
  }
  if (!shares.empty() && (common.empty() || shares.front().step > common.front().step)) {
    return {.checkpoint = {shares.front().step, ""}, .seal = true};
  }
  if (!common.empty()) return {.checkpoint = common.front()};
  if (anyone_has_one || named) {
    throw Error(ErrorKind::usage, "the stages hold checkpoints, but none that all of them hold",
                "copy the missing stage files to their hosts, or set another checkpoint.dir to "
                "begin anew");
  }
  return {};
}

}  // namespace ptrain::stage
