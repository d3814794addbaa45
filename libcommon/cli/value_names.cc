#include "libcommon/cli/value_names.h"

#include <string>

namespace ptrain::cli {
namespace {

// What CLI11 calls each text.
constexpr std::string_view kUnnamed = "TEXT";

}  // namespace

void name_values(CLI::App& app, std::initializer_list<ValueName> names) {
  for (const auto& [option, value] : names) {
    CLI::Option* found = app.get_option_no_throw(std::string(option));
    if (found != nullptr && found->get_type_name() == kUnnamed) {
      found->type_name(std::string(value));
    }
  }
  for (CLI::App* command : app.get_subcommands([](CLI::App*) { return true; })) {
    name_values(*command, names);
  }
}

}  // namespace ptrain::cli
