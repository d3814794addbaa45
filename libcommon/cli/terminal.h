// What is known about the terminal behind a file descriptor, if there is one.

#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace ptrain::cli {

// A terminal that can move its cursor: not a file or a pipe, nor TERM=dumb.
bool is_terminal(int fd);

// Columns of the terminal behind fd; kDefaultColumns where it does not say.
inline constexpr std::size_t kDefaultColumns = 80;
std::size_t terminal_columns(int fd);

// Colours are for a terminal whose owner has not set NO_COLOR (https://no-color.org).
bool colour_wanted(int fd);

// The longest beginning of `text` that fits into `columns`, counting one column a UTF-8
// character, with control characters replaced by spaces.
std::string fit_to_columns(std::string_view text, std::size_t columns);

}  // namespace ptrain::cli
