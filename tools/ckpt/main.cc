// ptrain-ckpt: checkpoints that a person can trust. See ptrain-ckpt(1).

#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include "libcommon/cli/program.h"
#include "tools/ckpt/commands.h"
#include "tools/ckpt/early_end.h"

int main(int argc, char** argv) {
  CLI::App app("Lists, checks, compares and converts checkpoints of ptrain-stage.", "ptrain-ckpt");
  app.require_subcommand(1);
  app.footer(
      "CHECKPOINT is latest, a step (1200 or step-00001200) or the first 8 digits or more of an\n"
      "id, in the folder that --dir names; or the same after its folder: run/ckpt/latest.\n\n"
      "Example:\n"
      "  ptrain-ckpt ls --dir run/ckpt");

  ptrain::ckpt_tool::Command command;
  for (const auto add : ptrain::ckpt_tool::kCommands) add(app, command);
  return ptrain::cli::run_program(app, argc, argv, [&] {
    try {
      return command();
    } catch (const ptrain::ckpt_tool::EarlyEnd& end) {
      if (!end.text.empty()) fmt::print(stderr, "{}: {}\n", app.get_name(), end.text);
      return end.exit_code;
    }
  });
}
