#include "tools/stage/engine/activity.h"

#include <fmt/format.h>

namespace ptrain::stage {

std::string to_string(const Wait& wait) {
  switch (wait.what) {
    case Wait::For::message:
      return wire::to_string(wait.name);
    case Wait::For::room:
      return "room for what is sent there";
    case Wait::For::sum:
      return "their share of the sum over lanes";
    case Wait::For::others:
    case Wait::For::disk:
      break;
  }
  return wait.words;
}

}  // namespace ptrain::stage
