#include "libcommon/cli/completion/command_tree.h"

#include <algorithm>
#include <cctype>
#include <sstream>
#include <string_view>

namespace ptrain::cli {
namespace {

std::vector<std::string> split(const std::string& text, char separator) {
  std::vector<std::string> parts;
  std::istringstream stream(text);
  for (std::string part; std::getline(stream, part, separator);) parts.push_back(part);
  return parts;
}

bool is_literal(const std::string& word) {
  return std::ranges::none_of(word, [](unsigned char c) { return std::isupper(c) != 0; });
}

OptionWords option_words(const CLI::Option& option) {
  OptionWords words{.names = {},
                    .description = option.get_description(),
                    .takes_value = option.get_expected_max() != 0,
                    .repeats = option.get_expected_max() > 1 ||
                               option.get_multi_option_policy() == CLI::MultiOptionPolicy::TakeAll,
                    .value = {}};
  for (const std::string& name : option.get_snames()) words.names.push_back("-" + name);
  for (const std::string& name : option.get_lnames()) words.names.push_back("--" + name);
  if (words.takes_value) words.value = value_words(option.get_type_name());
  return words;
}

ValueWords argument_words(const CLI::Option& option) {
  ValueWords words = value_words(option.get_type_name());
  words.name = option.get_name(true);
  return words;
}

}  // namespace

ValueWords value_words(const std::string& type_name) {
  ValueWords value;
  // Behind a colon stand the checks: ":{float32,bfloat16}", ":UINT in [1 - 8]".
  const std::size_t check = type_name.find_first_of("{ ");
  value.name =
      check == std::string::npos ? type_name : type_name.substr(0, type_name.rfind(':', check));
  if (check != std::string::npos && type_name[check] == '{') {
    const std::size_t end = type_name.find('}', check);
    value.words = split(type_name.substr(check + 1, end - check - 1), ',');
    return value;
  }
  for (const std::string& part : split(value.name, '|')) {
    // A text of which nothing is said may well be a file.
    if (part == "FILE" || part == "TEXT") {
      value.files = true;
    } else if (part == "DIR") {
      value.folders = true;
    } else if (is_literal(part)) {
      value.words.push_back(part);
    }
  }
  return value;
}

CommandTree command_tree(const CLI::App& app) {
  CommandTree tree{.name = app.get_name(),
                   .description = app.get_description(),
                   .options = {},
                   .arguments = {},
                   .commands = {}};
  for (const CLI::Option* option : app.get_options()) {
    if (option->nonpositional()) tree.options.push_back(option_words(*option));
    if (option->get_positional()) tree.arguments.push_back(argument_words(*option));
  }
  for (const CLI::App* command : app.get_subcommands([](const CLI::App*) { return true; })) {
    tree.commands.push_back(command_tree(*command));
  }
  return tree;
}

}  // namespace ptrain::cli
