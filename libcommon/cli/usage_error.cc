#include "libcommon/cli/usage_error.h"

#include <algorithm>
#include <vector>

#include <fmt/format.h>

#include "libcommon/base/nearest_word.h"

namespace ptrain::cli {
namespace {

std::vector<const CLI::App*> commands_of(const CLI::App& app) {
  return app.get_subcommands([](const CLI::App*) { return true; });
}

std::vector<std::string> names_of_commands(const CLI::App& app) {
  std::vector<std::string> names;
  for (const CLI::App* command : commands_of(app)) names.push_back(command->get_name());
  return names;
}

// Without their dashes, which make no two words alike; those of one letter are no slip of each
// other.
std::vector<std::string> names_of_options(const CLI::App& app) {
  std::vector<std::string> names;
  for (const CLI::Option* option : app.get_options()) {
    names.insert(names.end(), option->get_lnames().begin(), option->get_lnames().end());
  }
  return names;
}

// The command that was given, and the words that lead to it.
struct Place {
  const CLI::App* command;
  std::string path;
};

std::vector<Place> places(const CLI::App& app) {
  std::vector<Place> list{{&app, app.get_name()}};
  while (true) {
    const auto chosen = list.back().command->get_subcommands();
    if (chosen.empty()) return list;
    list.push_back({chosen.front(), list.back().path + " " + chosen.front()->get_name()});
  }
}

// What comes of a slip of the pen, or of a word that was cut short.
std::optional<std::string> meant(const std::string& word, const std::vector<std::string>& known) {
  constexpr std::size_t kShortestBeginning = 3;
  if (auto nearest = nearest_word(word, known, 1 + word.size() / 4)) return nearest;
  if (word.size() < kShortestBeginning) return std::nullopt;
  for (const std::string& each : known) {
    if (each.starts_with(word)) return each;
  }
  return std::nullopt;
}

std::string see(const Place& place) { return "see " + place.path + " --help"; }

std::string hint(const Place& place, const std::optional<std::string>& suggestion) {
  return suggestion ? fmt::format("did you mean {}? {}", *suggestion, see(place)) : see(place);
}

// An option in front of its command, or of another one.
std::optional<std::string> elsewhere(const CLI::App& app, const std::string& name) {
  for (const CLI::App* command : commands_of(app)) {
    const auto names = names_of_options(*command);
    if (std::ranges::find(names, name) != names.end()) {
      return fmt::format("{} {} --{}", app.get_name(), command->get_name(), name);
    }
  }
  return std::nullopt;
}

UsageError unknown_option(const CLI::App& app, const Place& place, const std::string& word) {
  const std::string option = word.substr(0, word.find('='));
  const std::string name = option.substr(option.find_first_not_of('-'));
  std::optional<std::string> suggestion = meant(name, names_of_options(*place.command));
  if (suggestion) {
    suggestion = "--" + *suggestion;
  } else {
    suggestion = elsewhere(app, name);
  }
  return {"unknown option " + option, hint(place, suggestion)};
}

bool is_option(const std::string& word) {
  return word.starts_with('-') && word.find_first_not_of('-') != std::string::npos;
}

std::optional<UsageError> unexpected(const CLI::App& app) {
  for (const Place& place : places(app)) {
    const std::vector<std::string> words = place.command->remaining();
    if (words.empty()) continue;
    const std::vector<std::string> commands = names_of_commands(*place.command);
    if (!commands.empty() && !is_option(words.front())) {
      return UsageError{"unknown command " + words.front(),
                        hint(place, meant(words.front(), commands))};
    }
    const auto option = std::ranges::find_if(words, is_option);
    if (option != words.end()) return unknown_option(app, place, *option);
    return UsageError{"unexpected argument " + words.front(), see(place)};
  }
  return std::nullopt;
}

}  // namespace

UsageError usage_error(const CLI::App& app, const CLI::ParseError& error) {
  if (auto found = unexpected(app)) return *found;
  const Place place = places(app).back();
  const bool no_command = place.command->get_require_subcommand_min() > 0;
  return {no_command ? "no command was given" : error.what(), see(place)};
}

std::optional<UsageError> unknown_command(const CLI::App& app) {
  const Place place = places(app).back();
  const std::vector<std::string> words = place.command->remaining();
  if (commands_of(*place.command).empty() || words.empty() || is_option(words.front())) {
    return std::nullopt;
  }
  return unexpected(app);
}

}  // namespace ptrain::cli
