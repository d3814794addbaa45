// Scripts that make a shell complete a program's commands, options and their values. They are made
// from the program's own options and need nothing of it when they run, which would take libtorch
// a second.

#pragma once

#include <string>
#include <string_view>

#include <CLI/CLI.hpp>

#include "libcommon/cli/completion/command_tree.h"

namespace ptrain::cli {

std::string bash_completion(const CommandTree& program);
std::string zsh_completion(const CommandTree& program);
std::string fish_completion(const CommandTree& program);

// `shell` is bash, zsh or fish.
std::string completion_script(const CLI::App& app, std::string_view shell);

// The name of a shell function for the program: _ptrain_ckpt.
std::string function_name(std::string_view program);

// In single quotes, as bash and zsh read them.
std::string single_quoted(std::string_view text);

}  // namespace ptrain::cli
