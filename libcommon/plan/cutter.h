// Cuts a model over hosts whose order is given. Pure.

#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <vector>

#include "libcommon/plan/problem.h"

namespace ptrain::plan {

// The cut whose slowest stage is the fastest: exact, but for a part in a thousand. Of those, hosts
// that come first hold the most. nullopt: they have no room for the model, or two neighbours cannot
// exchange anything.
std::optional<Choice> fastest_cut(const Costs& costs, std::size_t micro,
                                  const std::vector<std::uint32_t>& hosts);

enum class BorderMoves {
  each,      // one border by one unit
  together,  // then also borders that lie side by side, by several units: some hundred tries
};

// Moves borders between stages for as long as `step_s` becomes less, which is infinite for a choice
// that is not possible. Returns what it is then.
double move_borders(Choice& choice, const std::function<double(const Choice&)>& step_s,
                    BorderMoves moves = BorderMoves::each);

}  // namespace ptrain::plan
