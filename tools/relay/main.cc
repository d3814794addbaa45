// ptrain-relay: lets peers find and reach each other that nobody can dial. See ptrain-relay(1).

#include <CLI/CLI.hpp>

#include "libcommon/cli/program.h"
#include "libcommon/cli/value_names.h"
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
  ptrain::cli::name_values(app, {{"--state", "DIR"},
                                 {"--listen", "ENDPOINT"},
                                 {"--public-host", "NAME"},
                                 {"--allow-peer", "KEY"},
                                 {"--allow-run", "ID"},
                                 {"--allow-file", "FILE"},
                                 {"--neighbour", "WORD"},
                                 {"--neighbour-file", "FILE"},
                                 {"--relay", "WORD"},
                                 {"--run", "NAME"},
                                 {"--expires", "WHEN"},
                                 {"--out", "FILE"},
                                 {"--issuer", "FILE"},
                                 {"FILE", "FILE"},
                                 {"KEY", "KEY"}});
  return ptrain::cli::run_program(app, argc, argv, [&] { return command(); });
}
