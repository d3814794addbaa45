// A line an option, a command or an argument, each with the command in which it may stand.

#include <fmt/format.h>

#include "libcommon/cli/completion/scripts.h"

namespace ptrain::cli {
namespace {

std::string fish_quoted(std::string_view text) {
  std::string quoted = "'";
  for (const char c : text) {
    if (c == '\'' || c == '\\') quoted += '\\';
    quoted += c;
  }
  return quoted + "'";
}

// The candidates of a value; whatever else may be typed.
std::string candidates(const ValueWords& value) {
  std::string text = value.files ? " -F" : "";
  std::string words = fmt::format("{}", fmt::join(value.words, " "));
  if (value.folders)
    words += words.empty() ? "(__fish_complete_directories)" : " (__fish_complete_directories)";
  return words.empty() ? text : text + " -a " + fish_quoted(words);
}

void add_lines(const CommandTree& command, const std::string& path, const std::string& head,
               std::vector<std::string>& commands, std::string& lines) {
  const std::string here = head + " " + fish_quoted(path) + "\"";
  for (const OptionWords& option : command.options) {
    lines += here;
    for (const std::string& name : option.names) {
      lines += name.starts_with("--") ? " -l " + name.substr(2) : " -s " + name.substr(1);
    }
    if (option.takes_value) lines += " -r" + candidates(option.value);
    lines += " -d " + fish_quoted(option.description) + "\n";
  }
  for (const ValueWords& argument : command.arguments) {
    const std::string known = candidates(argument);
    if (!known.empty()) lines += here + known + "\n";
  }
  for (const CommandTree& each : command.commands) {
    const std::string name = path.empty() ? each.name : path + " " + each.name;
    lines += here + " -a " + each.name + " -d " + fish_quoted(each.description) + "\n";
    commands.push_back(fish_quoted(name));
    add_lines(each, name, head, commands, lines);
  }
}

constexpr const char* kScript =
    R"(# fish completion of {program}, made by {program} --completion fish
function _{function}_at -d 'Whether the command line has come to this command'
    set -l path ''
    for word in (commandline -opc)[2..-1]
        set -l next (string trim -- "$path $word")
        if contains -- $next {commands}
            set path $next
        end
    end
    test "$path" = "$argv[1]"
end

complete -c {program} -f
{lines})";

}  // namespace

std::string fish_completion(const CommandTree& program) {
  const std::string function = function_name(program.name);
  std::vector<std::string> commands;
  std::string lines;
  add_lines(program, "", fmt::format("complete -c {} -n \"_{}_at", program.name, function),
            commands, lines);
  return fmt::format(fmt::runtime(kScript), fmt::arg("program", program.name),
                     fmt::arg("function", function), fmt::arg("commands", fmt::join(commands, " ")),
                     fmt::arg("lines", lines));
}

}  // namespace ptrain::cli
