// A matrix of links as the file that the planner reads (ptrain-probe(1), LINKS), and what such a
// file knew before. Pure.

#pragma once

#include <string>
#include <string_view>

#include <nlohmann/json.hpp>

#include "libcommon/probe/link_matrix.h"

namespace ptrain::probe_tool {

inline constexpr std::size_t kMaxLinksBytes = std::size_t{64} << 20;

nlohmann::ordered_json to_links_json(const probe::LinkMatrix& matrix);

// Edges that failed, and that the file has figures of, get these, and are stale. Throws
// Error(corrupt) that names `source` where it is no such file.
void fill_stale(probe::LinkMatrix& matrix, std::string_view text, const std::string& source);

}  // namespace ptrain::probe_tool
