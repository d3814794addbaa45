// What the values of options are called in the help: FILE, DIR, KEY=VALUE, auto|none|ID. Words in
// small letters are themselves values; shells complete those, the names of files for FILE and of
// folders for DIR (completion/).

#pragma once

#include <initializer_list>
#include <string_view>

#include <CLI/CLI.hpp>

namespace ptrain::cli {

struct ValueName {
  std::string_view option;  // --NAME, or an argument's name
  std::string_view value;
};

// In all commands of `app`; where the option has a name for its value already, that stays.
void name_values(CLI::App& app, std::initializer_list<ValueName> names);

}  // namespace ptrain::cli
