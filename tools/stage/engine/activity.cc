#include "tools/stage/engine/activity.h"

#include <fmt/format.h>

namespace ptrain::stage {

std::string to_string(const Wait& wait) {
  switch (wait.what) {
    case Wait::For::message: return wire::to_string(wait.name);
    case Wait::For::room:
      return fmt::format("stage {} to take what is sent", wait.whom.value_or(StageIndex(0)).value());
    case Wait::For::others:
    case Wait::For::disk: break;
  }
  return wait.words;
}

}  // namespace ptrain::stage
