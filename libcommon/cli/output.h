// Standard output, where results go: the one place that writes to it.
//
// A result that cannot be written must not pass for success: whoever prints gets Error(io), at
// the latest from flush_output(), which every program calls at its end. Where the reader of a
// pipe has gone (`| head`) nobody misses the rest: OutputClosed ends the command without a word.
// What a program says while it works on, and must go on working whoever listens, is not for
// here but for an EventOutput. One thread at a time.

#pragma once

#include <string_view>

#include <fmt/format.h>

namespace ptrain::cli {

// No exception of the usual kind: nothing failed, and who handles errors shall not see it.
struct OutputClosed {};

void write_output(std::string_view text);
void flush_output();

template <class... Values>
void print(fmt::format_string<Values...> format, Values&&... values) {
  write_output(fmt::format(format, std::forward<Values>(values)...));
}

}  // namespace ptrain::cli
