// "Did you mean": the known word that someone meant who wrote one that does not exist. Pure.

#pragma once

#include <cstddef>
#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace ptrain {

// Slips of the pen that lead from one to the other: a letter too many, too few, another one, or
// two neighbours that changed places (optimal string alignment).
std::size_t edit_distance(std::string_view a, std::string_view b);

// The first of the words that are nearest to `word`, at most `most` slips away; else none. A word
// of more than 64 bytes is no slip of anything.
std::optional<std::string> nearest_word(std::string_view word, std::span<const std::string> words,
                                        std::size_t most);

}  // namespace ptrain
