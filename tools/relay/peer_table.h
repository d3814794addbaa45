// The survey's JSON lines as a table for people. Pure.

#pragma once

#include <string>
#include <vector>

namespace ptrain::relay {

// They throw Error(corrupt) for a line that is none of the survey's.
std::vector<std::string> peer_table(const std::vector<std::string>& lines);
std::vector<std::string> run_table(const std::vector<std::string>& lines);
// What the relay is at, in one line, and another for each of its neighbours.
std::vector<std::string> totals_lines(const std::vector<std::string>& lines);

}  // namespace ptrain::relay
