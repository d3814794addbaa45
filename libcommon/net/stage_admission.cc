#include "libcommon/net/stage_admission.h"

#include <algorithm>
#include <utility>

#include <fmt/format.h>

namespace ptrain::net {

StageAdmission::StageAdmission(std::map<StageIndex, std::optional<PublicKey>> stages, bool keyed)
    : stages_(std::move(stages)), keyed_(keyed) {}

bool StageAdmission::admits(const PublicKey& key) const {
  return std::ranges::any_of(stages_, [&](const auto& entry) { return entry.second == key; });
}

Verdict StageAdmission::judge(const Caller& caller) {
  const StageIndex stage = caller.hello.stage;
  const auto known = stages_.find(stage);
  if (known == stages_.end()) {
    return Rejection{fmt::format("stage {}, which has no business with us", stage.value())};
  }
  if (keyed_ && (!known->second || to_hex(*known->second) != caller.key)) {
    return Rejection{fmt::format("the key {} is not that of stage {}", caller.key, stage.value())};
  }
  return handle_of(stage);
}

}  // namespace ptrain::net
