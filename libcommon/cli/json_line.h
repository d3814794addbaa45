// One JSON object on one line of stdout: what --json prints.

#pragma once

#include <fmt/format.h>
#include <nlohmann/json.hpp>

namespace ptrain::cli {

// A path need not be UTF-8, but JSON must: other bytes become U+FFFD.
inline void print_json_line(const nlohmann::ordered_json& json) {
  fmt::print("{}\n", json.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace));
}

}  // namespace ptrain::cli
