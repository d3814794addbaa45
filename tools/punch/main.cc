// ptrain-punch: lets others reach ports of a host behind a router. See ptrain-punch(1).

#include <algorithm>
#include <string_view>

#include <CLI/CLI.hpp>

#include "libcommon/cli/program.h"
#include "libcommon/cli/value_names.h"
#include "tools/punch/commands.h"

int main(int argc, char** argv) {
  CLI::App app("Lets others reach ports of a host behind a router.", "ptrain-punch");
  app.require_subcommand(1);
  app.footer(
      "Example:\n"
      "  ptrain-punch map --tcp 7100 --tcp 7101 -- ptrain-relay serve --state relay");

  // Of the rest of the command line no word is ours, whatever it looks like.
  char** const end = std::find(argv, argv + argc, std::string_view("--"));
  const ptrain::punch::Words behind(std::min(end + 1, argv + argc), argv + argc);
  ptrain::punch::Command command;
  for (const auto add : ptrain::punch::kCommands) add(app, command, behind);
  ptrain::cli::name_values(app, {{"--tcp", "PORT"},
                                 {"--udp", "PORT"},
                                 {"--lease", "SECONDS"},
                                 {"--ticket", "FILE"},
                                 {"--key", "FILE"},
                                 {"--port", "PORT"},
                                 {"--name", "NAME"},
                                 {"--listen", "ENDPOINT"},
                                 {"--timeout", "SECONDS"}});
  return ptrain::cli::run_program(app, static_cast<int>(end - argv), argv,
                                  [&] { return command(); });
}
