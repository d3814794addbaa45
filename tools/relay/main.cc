// ptrain-relay: lets peers find and reach each other that nobody can dial. See ptrain-relay(1).

#include <CLI/CLI.hpp>

#include "libcommon/cli/program.h"
#include "tools/relay/commands.h"

int main(int argc, char** argv) {
  CLI::App app("Lets peers find and reach each other that nobody can dial.", "ptrain-relay");
  app.require_subcommand(1);
  app.footer(
      "Example:\n"
      "  ptrain-relay serve --state relay --public-host relay.example.net\n"
      "  ptrain-relay ticket new --run alice --relay WORD -o alice.ticket\n"
      "where WORD is the line that serve prints.");

  ptrain::relay::Command command;
  for (const auto add : ptrain::relay::kCommands) add(app, command);
  return ptrain::cli::run_program(app, argc, argv, [&] { return command(); });
}
