// A command line that was refused, in words: what is wrong with it, and a hint at what was meant
// and at the help of the command that was given.

#pragma once

#include <optional>
#include <string>

#include <CLI/CLI.hpp>

namespace ptrain::cli {

struct UsageError {
  std::string what;
  std::string hint;
};

// Of an `app` whose parse() has thrown `error`.
UsageError usage_error(const CLI::App& app, const CLI::ParseError& error);

// Of an `app` whose parse() has thrown CallForHelp: the help of a command that does not exist is
// not that of the program.
std::optional<UsageError> unknown_command(const CLI::App& app);

}  // namespace ptrain::cli
