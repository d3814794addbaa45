#include "libcommon/cli/command_line.h"

#include <algorithm>
#include <string_view>
#include <utility>

#include <fmt/format.h>

#include "libcommon/cli/build_commit.h"
#include "libcommon/cli/completion/scripts.h"

namespace ptrain::cli {
namespace {

std::string version_of(const CLI::App& app, const std::function<std::string()>& parts) {
  const std::string_view commit = build_commit();
  std::string text = app.get_name() + " " PTRAIN_VERSION;
  if (!commit.empty()) text += fmt::format(" ({})", commit);
  if (parts) text += "\n" + parts();
  return text;
}

std::vector<CLI::App*> commands_of(CLI::App& app) {
  return app.get_subcommands([](CLI::App*) { return true; });
}

void add_quiet(CLI::App& app, bool& quiet) {
  app.add_flag("-q,--quiet", quiet, "Say nothing but warnings and errors");
  for (CLI::App* command : commands_of(app)) add_quiet(*command, quiet);
}

// What it does is done by arguments_in_reverse(): this is for the list of commands.
void add_help_command(CLI::App& app) {
  std::vector<std::string> names;
  for (const CLI::App* command : commands_of(app)) names.push_back(command->get_name());
  if (names.empty()) return;
  CLI::App* help = app.add_subcommand("help", "Show the help of a command");
  help->add_option_function<std::vector<std::string>>(
          "COMMAND", [](const std::vector<std::string>&) {}, "The command")
      ->type_name(fmt::format("{}", fmt::join(names, "|")));
  help->footer(fmt::format("Example:\n  {} help {}", app.get_name(), names.front()));
}

}  // namespace

void add_common_words(CLI::App& app, bool& quiet, std::function<std::string()> parts) {
  app.set_version_flag("--version",
                       [&app, parts = std::move(parts)] { return version_of(app, parts); });
  app.add_option_function<std::string>(
         "--completion",
         [&app](const std::string& shell) { throw Answer{completion_script(app, shell)}; },
         "Print what completes this command line in a shell")
      ->check(CLI::IsMember({"bash", "zsh", "fish"}));
  add_quiet(app, quiet);
  add_help_command(app);
}

std::vector<std::string> arguments_in_reverse(int argc, const char* const* argv) {
  std::vector<std::string> words(argv + std::min(argc, 1), argv + argc);
  const auto first =
      std::ranges::find_if(words, [](const std::string& word) { return !word.starts_with('-'); });
  const bool of_help_itself = std::ranges::find(words, "--help") != words.end();
  if (first != words.end() && *first == "help" && !of_help_itself) {
    words.erase(first);
    words.emplace_back("--help");
  }
  std::ranges::reverse(words);
  return words;
}

}  // namespace ptrain::cli
