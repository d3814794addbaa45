// What every main does: parse, run, and turn an error into a message on stderr
// and an exit code. main itself stays a description of the program's options.

#pragma once

#include <functional>
#include <string>

#include <CLI/CLI.hpp>

namespace ptrain::cli {

// Adds what every program's command line has (command_line.h), parses, and runs `body` (which
// returns the exit code). `parts` says what --version tells besides the release, in lines.
//
// Errors are printed as "NAME: error: WHAT" and, where there is one, "NAME: hint: HINT",
// NAME being app.get_name(). A usage error ends with 2, whatever CLI11 says, and names what may
// have been meant (usage_error.h); --help and --version end with 0.
int run_program(CLI::App& app, int argc, const char* const* argv, const std::function<int()>& body,
                std::function<std::string()> parts = {});

}  // namespace ptrain::cli
