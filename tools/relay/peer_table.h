// The survey's JSON lines as a table for people. Pure.

#pragma once

#include <string>
#include <vector>

namespace ptrain::relay {

// Both throw Error(corrupt) for a line that is none of the survey's.
std::vector<std::string> peer_table(const std::vector<std::string>& lines);
std::vector<std::string> run_table(const std::vector<std::string>& lines);
// One line: what the relay is at.
std::string totals_line(const std::vector<std::string>& lines);

}  // namespace ptrain::relay
