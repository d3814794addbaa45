// ptrain-punch: lets others reach ports of a host behind a router. See ptrain-punch(1).

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

  ptrain::punch::Command command;
  for (const auto add : ptrain::punch::kCommands) add(app, command);
  ptrain::cli::name_values(
      app, {{"--tcp", "PORT"}, {"--udp", "PORT"}, {"--lease", "SECONDS"}, {"COMMAND", "WORD"}});
  return ptrain::cli::run_program(app, argc, argv, [&] { return command(); });
}
