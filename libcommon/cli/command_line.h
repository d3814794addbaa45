// What every program's command line has besides the program's own words: --version, --completion
// and --quiet, and `help COMMAND`.

#pragma once

#include <functional>
#include <string>
#include <vector>

#include <CLI/CLI.hpp>

namespace ptrain::cli {

// An option that is a question throws its answer: it ends the command line as --help does.
struct Answer {
  std::string text;
};

// Before the program parses, once its own commands are there. `quiet` is set by the parse.
// --version prints the release, the commit that was built, and what `parts` says, if anything.
void add_common_words(CLI::App& app, bool& quiet, std::function<std::string()> parts);

// The arguments, where `help COMMAND...` is `COMMAND... --help`; in reverse, as CLI11 parses them.
std::vector<std::string> arguments_in_reverse(int argc, const char* const* argv);

}  // namespace ptrain::cli
