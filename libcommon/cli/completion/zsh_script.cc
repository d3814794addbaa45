// A function a command, made of _arguments; each calls those of its own commands.

#include <fmt/format.h>

#include "libcommon/cli/completion/scripts.h"

namespace ptrain::cli {
namespace {

std::string escaped(std::string_view text, std::string_view signs) {
  std::string result;
  for (const char c : text) {
    if (c == '\\' || signs.find(c) != std::string_view::npos) result += '\\';
    result += c;
  }
  return result;
}

// The ":MESSAGE:ACTION" of a value.
std::string action(const ValueWords& value) {
  const std::string message = ":" + escaped(value.name.empty() ? "value" : value.name, ":");
  const std::string words = fmt::format("({})", fmt::join(value.words, " "));
  const std::string names = value.files ? "_files" : value.folders ? "_files -/" : "";
  if (value.words.empty()) return message + ":" + (names.empty() ? " " : names);
  if (names.empty()) return message + ":" + words;
  return fmt::format("{}:{{_alternative \"words:word:{}\" \"names:name:{}\"}}", message, words,
                     names);
}

std::vector<std::string> specifications(const OptionWords& option) {
  const std::string others =
      option.repeats ? std::string("*") : fmt::format("({})", fmt::join(option.names, " "));
  std::vector<std::string> list;
  for (const std::string& name : option.names) {
    // --option VALUE and --option=VALUE, -o VALUE and -oVALUE
    const char* joined = !option.takes_value ? "" : name.starts_with("--") ? "=" : "+";
    list.push_back(single_quoted(others + name + joined + "[" + escaped(option.description, "[]:") +
                                 "]" + (option.takes_value ? action(option.value) : "")));
  }
  return list;
}

void add_function(const CommandTree& command, const std::string& function, std::string& script) {
  std::string arguments;
  const auto add = [&arguments](const std::string& word) { arguments += " \\\n    " + word; };
  for (const OptionWords& option : command.options) {
    for (const std::string& specification : specifications(option)) add(specification);
  }
  if (command.commands.empty()) {
    for (const ValueWords& argument : command.arguments) {
      add(single_quoted("*" + (":" + action(argument).substr(1))));
    }
    script += fmt::format("{}() {{\n  _arguments -s{}\n}}\n\n", function, arguments);
    return;
  }
  std::string names;
  std::string calls;
  for (const CommandTree& each : command.commands) {
    names += "\n        " + single_quoted(escaped(each.name, ":") + ":" + each.description);
    calls += fmt::format("        {0}) {1}_{2} ;;\n", each.name, function,
                         function_name(each.name).substr(1));
  }
  script += fmt::format(R"({}() {{
  local curcontext=$curcontext state line
  local -A opt_args
  local -a commands
  _arguments -C -s{} \
    ': :->command' '*:: :->rest' && return
  case $state in
    command)
      commands=({}
      )
      _describe command commands
      ;;
    rest)
      case $line[1] in
{}      esac
      ;;
  esac
}}

)",
                        function, arguments, names, calls);
  for (const CommandTree& each : command.commands) {
    add_function(each, function + "_" + function_name(each.name).substr(1), script);
  }
}

}  // namespace

std::string zsh_completion(const CommandTree& program) {
  const std::string function = function_name(program.name);
  std::string script = fmt::format(
      "#compdef {0}\n# zsh completion of {0}, made by {0} --completion zsh\n\n", program.name);
  add_function(program, function, script);
  // As a file of fpath it is the body of a function; it can be sourced as well.
  return script + fmt::format(
                      "if [[ $funcstack[1] == _{0} ]]; then\n  {1} \"$@\"\nelse\n  compdef {1} "
                      "{0}\nfi\n",
                      program.name, function);
}

}  // namespace ptrain::cli
