#include "tools/stage/engine/what_is_lost.h"

#include <fmt/format.h>

namespace ptrain::stage {
namespace {

std::string steps(std::uint64_t count) {
  return count == 1 ? "1 step" : fmt::format("{} steps", count);
}

}  // namespace

std::string what_is_lost(const LeftBehind& left) {
  const std::uint64_t trained = left.trained.value();
  const std::uint64_t saved = left.saved ? left.saved->value() : 0;
  const std::string command =
      left.automatic ? "the same command" : "the same command with --resume auto";
  const std::string again =
      left.saved ? fmt::format("goes on from step {}", saved) : std::string("begins anew");
  if (trained == saved) return fmt::format("nothing is lost; {} {}", command, again);
  const std::string since = left.saved ? fmt::format(" since step {}", saved) : std::string();
  const std::string lost = fmt::format("{}{} {} lost", steps(trained - saved), since,
                                       trained - saved == 1 ? "is" : "are");
  if (!left.share) return fmt::format("{}; {} {}", lost, command, again);
  return fmt::format("this stage has saved its share of step {}: if all others have, ", trained) +
         fmt::format("{} goes on from there; if not, it {}, and up to {}", command, again, lost);
}

}  // namespace ptrain::stage
