// A program's commands, options and arguments as values: what a shell must know to complete its
// command line.

#pragma once

#include <string>
#include <vector>

#include <CLI/CLI.hpp>

namespace ptrain::cli {

// What may stand for an option's value or an argument (value_names.h). Neither: nothing is known.
struct ValueWords {
  std::string name;                // KEY=VALUE
  std::vector<std::string> words;  // float32, bfloat16
  bool files = false;
  bool folders = false;
};

struct OptionWords {
  std::vector<std::string> names;  // with their dashes
  std::string description;
  bool takes_value = false;
  bool repeats = false;  // may be given again
  ValueWords value;
};

struct CommandTree {
  std::string name;
  std::string description;
  std::vector<OptionWords> options;
  std::vector<ValueWords> arguments;
  std::vector<CommandTree> commands;
};

CommandTree command_tree(const CLI::App& app);

// What CLI11 calls an option's type: "TEXT", "bytes|FILE", "TEXT:{float32,bfloat16}".
ValueWords value_words(const std::string& type_name);

}  // namespace ptrain::cli
