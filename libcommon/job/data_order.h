// The order in which training sees its data, as a function: no shuffle is stored,
// so nothing is skipped or repeated after a restart, and every stage and lane can
// ask for any sample.

#pragma once

#include <cstdint>

namespace ptrain::job {

// The window (0 <= result < windows) that the sample at `position` reads, where position =
// step * global batch + index within the step. Each pass over the data (position / windows)
// visits every window once, in a permutation keyed by the seed and the pass.
//
// A balanced Feistel network over the smallest even number of bits that holds `windows`,
// walked until it lands inside (Black and Rogaway, "Ciphers with arbitrary finite domains",
// CT-RSA 2002, section 3). It shuffles; it hides nothing. Integers only, so the order is the
// same on every machine. `windows` must be at least 1: Error(internal) otherwise.
std::uint64_t sample_index(std::uint64_t seed, std::uint64_t position, std::uint64_t windows);

}  // namespace ptrain::job
