#include "libcommon/cli/completion/scripts.h"

#include <algorithm>

namespace ptrain::cli {

std::string completion_script(const CLI::App& app, std::string_view shell) {
  const CommandTree tree = command_tree(app);
  if (shell == "zsh") return zsh_completion(tree);
  if (shell == "fish") return fish_completion(tree);
  return bash_completion(tree);
}

std::string function_name(std::string_view program) {
  std::string name = "_" + std::string(program);
  std::ranges::replace(name, '-', '_');
  return name;
}

std::string single_quoted(std::string_view text) {
  std::string quoted = "'";
  for (const char c : text) {
    if (c == '\'') quoted += "'\\'";
    quoted += c;
  }
  return quoted + "'";
}

}  // namespace ptrain::cli
