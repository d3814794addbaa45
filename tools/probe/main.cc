// ptrain-probe: what the links between hosts carry, before a job needs them. See ptrain-probe(1).

#include <CLI/CLI.hpp>

#include "libcommon/cli/program.h"
#include "libcommon/cli/value_names.h"
#include "tools/probe/commands.h"

int main(int argc, char** argv) {
  CLI::App app("Measures links between hosts, as a job would use them.", "ptrain-probe");
  app.require_subcommand(1);
  app.footer(
      "One host serves, the other measures.\n\n"
      "Example:\n"
      "  ptrain-probe serve --listen tcp://0.0.0.0:7300 --admit KEY\n"
      "where KEY is what ptrain-stage identity prints on the host that measures.");

  ptrain::probe_tool::Command command;
  for (const auto add : ptrain::probe_tool::kCommands) add(app, command);
  ptrain::cli::name_values(app, {{"--listen", "ENDPOINT"},
                                 {"--relay", "RELAY"},
                                 {"--ticket", "FILE"},
                                 {"--key", "FILE"},
                                 {"--admit", "KEY"},
                                 {"--name", "NAME"},
                                 {"--job", "FILE"},
                                 {"--set", "KEY=VALUE"},
                                 {"--links", "FILE"},
                                 {"--compute", "FILE"},
                                 {"--plan", "FILE"},
                                 {"--from-metrics", "FILE"},
                                 {"--allow-forward", "exact|fp32|bf16|int8"},
                                 {"--allow-backward", "exact|fp32|bf16|int8"},
                                 {"--numerics", "CLASS"},
                                 {"--host", "NAME"},
                                 {"--device", "cpu|cuda:N"},
                                 {"--update", "FILE"},
                                 {"PEER", "ENDPOINT"}});
  return ptrain::cli::run_program(app, argc, argv, [&] { return command(); });
}
