// ptrain-stage: holds one stage of a model, computes it, and exchanges activations and
// gradients with its neighbours. See ptrain-stage(1).

#include <CLI/CLI.hpp>

#include "libcommon/cli/program.h"
#include "libcommon/cli/value_names.h"
#include "tools/stage/allocation_failure.h"
#include "tools/stage/commands.h"
#include "tools/stage/computes_with.h"
#include "tools/stage/model/blas_environment.h"
#include "tools/stage/model/instruction_environment.h"
#include "tools/stage/signals_at_start.h"

namespace {

int execute(const ptrain::stage::Command& command) {
  ptrain::stage::check_instruction_environment();
  return ptrain::stage::with_memory_errors([&] { return command(); });
}

}  // namespace

int main(int argc, char** argv) {
  ptrain::stage::undo_what_libraries_did_to_signals();
  ptrain::stage::prepare_blas_environment(argv);

  CLI::App app("Trains one stage of a transformer language model.", "ptrain-stage");
  app.require_subcommand(1);
  app.footer(
      "Example, a job of two stages on one machine:\n"
      "  printf 'ipc://s0\\nipc://s1\\n' > endpoints\n"
      "  ptrain-stage run --job job.toml --endpoints endpoints --stage 0 &\n"
      "  ptrain-stage run --job job.toml --endpoints endpoints --stage 1");

  ptrain::stage::Command command;
  ptrain::stage::add_run(app, command);
  ptrain::stage::add_eval(app, command);
  ptrain::stage::add_sample(app, command);
  ptrain::stage::add_job(app, command);
  ptrain::stage::add_bench(app, command);
  ptrain::stage::add_ledger(app, command);
  ptrain::stage::add_identity(app, command);
  ptrain::cli::name_values(app, {{"--job", "FILE"},
                                 {"--set", "KEY=VALUE"},
                                 {"--listen", "ENDPOINT"},
                                 {"--endpoints", "FILE"},
                                 {"--peer", "I=ENDPOINT"},
                                 {"--ticket", "FILE"},
                                 {"--announce", "ENDPOINT"},
                                 {"--key", "FILE"},
                                 {"--resume", "auto|none|ID"},
                                 {"--from", "ENDPOINT"},
                                 {"--metrics", "FILE"},
                                 {"--device", "cpu|cuda:N"},
                                 {"--checkpoint", "DIR"},
                                 {"--step", "latest|ID"},
                                 {"--data", "FILE"},
                                 {"--prompt", "WORDS"},
                                 {"--tokenizer", "bytes|FILE"},
                                 {"--host", "NAME"},
                                 {"--plan", "FILE"}});
  return ptrain::cli::run_program(
      app, argc, argv, [&] { return execute(command); }, ptrain::stage::computes_with);
}
