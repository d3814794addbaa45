// Changes which hosts a pipeline is on, and their order, for as long as that makes it faster. Pure:
// its random numbers are seeded.

#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <vector>

namespace ptrain::plan {

// The step's seconds; infinity where hosts in this order are impossible.
using OrderJudge = std::function<double(const std::vector<std::uint32_t>& hosts)>;

// Begins with `hosts`, which take `step_s`, and tries every change of a kind where they are few,
// else a sample: two hosts change places, one moves, a part is turned round, one is left out,
// another one of `all` (the best first) joins or takes a place. At most `most` hosts. Whoever
// judges sees each try. Ends when a round has found nothing better, or `goes_on` says no.
void improve_order(std::vector<std::uint32_t> hosts, double step_s,
                   const std::vector<std::uint32_t>& all, std::size_t most, const OrderJudge& judge,
                   const std::function<bool()>& goes_on);

}  // namespace ptrain::plan
