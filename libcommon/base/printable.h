// Text of others, made fit for a terminal. Pure.
//
// What a peer says (why it ended, what it is called) appears in log lines and error texts. A
// terminal obeys control characters in it: it would be cleared, renamed or made to type. Each is
// written as what it is, "\x1b", and so is every byte that is not UTF-8; other text stays as it is.

#pragma once

#include <string>
#include <string_view>

namespace ptrain {

// Of one line: a line break is a control character too, or a peer could write lines of ours.
std::string printable(std::string_view text);

}  // namespace ptrain
