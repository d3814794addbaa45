// ptrain-ckpt: checkpoints that a person can trust. See ptrain-ckpt(1).

#include <CLI/CLI.hpp>

#include "libcommon/cli/program.h"
#include "libcommon/cli/value_names.h"
#include "tools/ckpt/commands.h"

int main(int argc, char** argv) {
  CLI::App app("Lists, checks, compares and converts checkpoints of ptrain-stage.", "ptrain-ckpt");
  app.require_subcommand(1);
  app.footer(
      "CHECKPOINT is latest, a step (1200 or step-00001200) or the first 8 digits or more of an\n"
      "id, in the folder that --dir names; or the same after its folder: run/ckpt/latest; or a\n"
      "folder alone, for its newest one. run is as good as run/ckpt.\n\n"
      "Example:\n"
      "  ptrain-ckpt ls run/ckpt");

  ptrain::ckpt_tool::Command command;
  for (const auto add : ptrain::ckpt_tool::kCommands) add(app, command);
  ptrain::cli::name_values(app, {{"--dir", "DIR"},
                                 {"--out", "DIR"},
                                 {"--hf", "DIR"},
                                 {"--key", "FILE"},
                                 {"--ticket", "FILE"},
                                 {"--listen", "ENDPOINT"},
                                 {"--from", "ENDPOINT"},
                                 {"--also", "ENDPOINT"},
                                 {"--admit", "KEY"},
                                 {"--tokenizer", "FILE"},
                                 {"--max-shard-size", "SIZE"},
                                 {"CHECKPOINT", "latest|DIR"},
                                 {"LEFT", "latest|DIR"},
                                 {"RIGHT", "latest|DIR"},
                                 {"STEP", "DIR"},
                                 {"DIR", "DIR"}});
  return ptrain::cli::run_program(app, argc, argv, [&] { return command(); });
}
