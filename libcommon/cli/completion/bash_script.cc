// A function that walks over the words before the cursor to find the command, and then offers what
// may stand there. A command's path is "" for the program itself, " ticket new" for others.

#include <fmt/format.h>

#include "libcommon/cli/completion/scripts.h"

namespace ptrain::cli {
namespace {

// What is written into the function, case by case.
struct Cases {
  std::vector<std::string> commands;      // paths that are commands
  std::vector<std::string> value_takers;  // path and option
  std::string values;                     // of options, by path and option
  std::string words;                      // of commands, by path
};

std::string assignment(const std::vector<std::string>& words, bool files, bool folders) {
  std::string text;
  if (!words.empty()) text += fmt::format(" words='{}'", fmt::join(words, " "));
  if (files || folders) text += fmt::format(" names={}", files ? "-f" : "-d");
  return text.empty() ? " :" : text;
}

void add_cases(const CommandTree& command, const std::string& path, Cases& cases) {
  std::vector<std::string> options;
  for (const OptionWords& option : command.options) {
    for (const std::string& name : option.names) {
      options.push_back(name);
      if (!option.takes_value) continue;
      const std::string key = single_quoted(path + " " + name);
      cases.value_takers.push_back(key);
      cases.values +=
          fmt::format("    {}){} ;;\n", key,
                      assignment(option.value.words, option.value.files, option.value.folders));
    }
  }
  std::vector<std::string> words;
  bool files = false;
  bool folders = false;
  for (const CommandTree& each : command.commands) words.push_back(each.name);
  for (const ValueWords& argument : command.arguments) {
    words.insert(words.end(), argument.words.begin(), argument.words.end());
    files = files || argument.files;
    folders = folders || argument.folders;
  }
  cases.words += fmt::format("        {}) options='{}';{} ;;\n", single_quoted(path),
                             fmt::join(options, " "), assignment(words, files, folders));
  for (const CommandTree& each : command.commands) {
    cases.commands.push_back(single_quoted(path + " " + each.name));
    add_cases(each, path + " " + each.name, cases);
  }
}

constexpr const char* kScript =
    R"(# bash completion of {program}, made by {program} --completion bash
{function}() {{
  local current=${{COMP_WORDS[COMP_CWORD]}} previous=${{COMP_WORDS[COMP_CWORD - 1]}} path='' i
  local words='' names='' options=''
  # To bash, --option=value is three words.
  if [[ $current == = ]]; then current=''; fi
  if [[ $previous == = ]]; then previous=${{COMP_WORDS[COMP_CWORD - 2]}}; fi
  for ((i = 1; i < COMP_CWORD; i++)); do
    case "$path ${{COMP_WORDS[i]}}" in
      {commands}) path+=" ${{COMP_WORDS[i]}}" ;;
      {value_takers}) i=$((i + 1)) ;;
    esac
  done
  case "$path $previous" in
{values}    *)
      case $path in
{words}      esac
      if [[ $current == -* || -z $words$names ]]; then words=$options names=''; fi
      ;;
  esac
  mapfile -t COMPREPLY < <(
    compgen -W "$words" -- "$current"
    if [[ -n $names ]]; then compgen "$names" -- "$current"; fi
  )
  if [[ -n $names ]]; then compopt -o filenames 2>/dev/null; fi
}}
complete -F {function} {program}
)";

}  // namespace

std::string bash_completion(const CommandTree& program) {
  Cases cases;
  add_cases(program, "", cases);
  const auto any_of = [](const std::vector<std::string>& patterns) {
    return patterns.empty() ? std::string("''") : fmt::format("{}", fmt::join(patterns, "|"));
  };
  return fmt::format(fmt::runtime(kScript), fmt::arg("program", program.name),
                     fmt::arg("function", function_name(program.name)),
                     fmt::arg("commands", any_of(cases.commands)),
                     fmt::arg("value_takers", any_of(cases.value_takers)),
                     fmt::arg("values", cases.values), fmt::arg("words", cases.words));
}

}  // namespace ptrain::cli
