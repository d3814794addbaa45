// Which combinations of independent outcomes are tried, when a crash may or may not have
// let each of several changes through. Pure.

#pragma once

#include <cstddef>
#include <random>
#include <span>
#include <vector>

namespace ptrain::crash {

// Up to so many combinations all are tried. A program that syncs as it goes has few changes
// in flight, so this is the usual case.
inline constexpr std::size_t kMostExhaustive = 64;
inline constexpr std::size_t kRandomCombinations = 8;  // beyond, at random

// The outcomes of change i are 0, nothing of it, to options[i] - 1, all of it. Without
// repetition, nothing and everything among them. Where not all are tried: each outcome with
// the other changes lost and with the others done, the changes in order up to each one, and
// some at random.
std::vector<std::vector<std::size_t>> outcomes(std::span<const std::size_t> options,
                                               std::mt19937_64& random);

}  // namespace ptrain::crash
