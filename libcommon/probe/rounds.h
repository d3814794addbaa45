// The order of a matrix of measurements: rounds in which no two tests share a host. Pure.
//
// An edge colouring of the graph of all pairs. Where every peer has a host of its own the rounds
// are as few as there can be, n - 1, or n where n is odd (the circle method of tournaments); where
// some share a host, each round takes what it can, the busiest hosts first.

#pragma once

#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

namespace ptrain::probe {

// Two peers, by their places in the list; the first is the lower.
using Pair = std::pair<std::size_t, std::size_t>;
using Round = std::vector<Pair>;

// `hosts` says of each peer on which host it is; the numbers mean nothing else.
std::vector<Round> rounds_of(const std::vector<std::uint32_t>& hosts);

}  // namespace ptrain::probe
