// Where the stages of a job are: from a file with one endpoint a line, in stage order,
// or from flags.

#pragma once

#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "libcommon/net/endpoint.h"

namespace ptrain::stage {

// Empty lines and what follows a # at the start of a line are comments. "-" is stdin.
// Throws Error(usage) with file and line.
std::vector<net::Endpoint> read_endpoints(const std::filesystem::path& file);

// From "I=ENDPOINT" for every stage but our own, whose place is filled with `listen`.
// Throws Error(usage) naming a stage that is missing, given twice or out of range.
std::vector<net::Endpoint> endpoints_from_flags(const std::vector<std::string>& peers,
                                                std::uint32_t self, const net::Endpoint& listen);

}  // namespace ptrain::stage
