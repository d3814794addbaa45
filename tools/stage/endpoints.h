// Where the processes of a job are, and what they hold: from a file with a line for each, or from
// flags.

#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "libcommon/job/layout.h"
#include "libcommon/net/endpoint.h"

namespace ptrain::stage {

// A process of the job, as a line of a file names it.
struct WorkerLine {
  std::vector<job::CellIndex> cells;      // "0,0 0,1"; none: the stage of the line's number
  std::optional<net::Endpoint> endpoint;  // after the cells; none where a ticket's relays know it
};

// Empty lines and what follows a # at the start of a line are comments. "-" is stdin. Every line
// has an endpoint, or none has; and so with cells. Throws Error(usage) with file and line.
std::vector<WorkerLine> read_workers(const std::filesystem::path& file);

// From "I=ENDPOINT" for every stage but our own, whose place is filled with `listen`.
// Throws Error(usage) naming a stage that is missing, given twice or out of range.
std::vector<net::Endpoint> endpoints_from_flags(const std::vector<std::string>& peers,
                                                std::uint32_t self, const net::Endpoint& listen);

}  // namespace ptrain::stage
