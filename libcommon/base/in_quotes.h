// Text that others wrote, made fit for an error message: in quotes, on one line,
// without the control characters that would drive a terminal, and not too long.

#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace ptrain {

inline constexpr std::size_t kMaxQuotedBytes = 120;

std::string in_quotes(std::string_view text);

}  // namespace ptrain
