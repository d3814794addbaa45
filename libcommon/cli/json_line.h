// One JSON object on one line of stdout: what --json prints.

#pragma once

#include <string>

#include <nlohmann/json.hpp>

#include "libcommon/cli/output.h"

namespace ptrain::cli {

// A path need not be UTF-8, but JSON must: other bytes become U+FFFD.
inline std::string json_line(const nlohmann::ordered_json& json) {
  return json.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace);
}

inline void print_json_line(const nlohmann::ordered_json& json) { print("{}\n", json_line(json)); }

}  // namespace ptrain::cli
