// ptrain-stage: holds one stage of a model, computes it, and exchanges activations and
// gradients with its neighbours. See ptrain-stage(1).

#include <new>

#include <CLI/CLI.hpp>
#include <c10/util/Exception.h>

#include "libcommon/cli/program.h"
#include "tools/stage/commands.h"
#include "tools/stage/model/blas_environment.h"

namespace {

// Memory that a device has no more of is no defect either.
int execute(const ptrain::stage::Command& command) try {
  return command();
} catch (const c10::OutOfMemoryError&) {
  throw std::bad_alloc();
}

}  // namespace

int main(int argc, char** argv) {
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
  ptrain::stage::add_identity(app, command);
  return ptrain::cli::run_program(app, argc, argv, [&] { return execute(command); });
}
