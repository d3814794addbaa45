// The lines of a file that a person keeps: endpoints, rules, neighbours, a ticket, a key.
//
// What editors, mail programs and other systems leave in such a file says nothing: a byte order
// mark at its beginning, carriage returns, blanks around a line, empty lines, a last line without
// an end. Nor does a comment: a # at a line's beginning or after a blank, and what follows it. A #
// within a word is part of it, as in an endpoint, where the key stands behind one.
//
// Pure.

#pragma once

#include <cstddef>
#include <string_view>
#include <vector>

namespace ptrain {

struct TextLine {
  std::size_t number = 0;  // in the file, from 1
  std::string_view text;   // not empty

  bool operator==(const TextLine&) const = default;
};

// The lines that say something, in order; views of `text`.
std::vector<TextLine> text_lines(std::string_view text);

// The words of a line, which blanks part.
std::vector<std::string_view> words_of(std::string_view line);

}  // namespace ptrain
