// ptrain-ckpt seal: the manifest of a step whose stages have all written their records.

#include "libcommon/ckpt/seal.h"

#include <memory>

#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include "libcommon/base/log.h"
#include "libcommon/cli/exit_code.h"
#include "libcommon/cli/json_line.h"
#include "libcommon/cli/output.h"
#include "tools/ckpt/byte_work.h"
#include "tools/ckpt/commands.h"
#include "tools/ckpt/found_checkpoint.h"
#include "tools/ckpt/options.h"

namespace ptrain::ckpt_tool {
namespace {

struct SealOptions {
  CommonOptions common;
  std::string name;
};

int seal(const SealOptions& options) {
  StderrLog log("ptrain-ckpt");
  os::PosixStorage storage(&log);
  ByteWork work;
  const ckpt::FoundCheckpoint found = find_checkpoint(storage, options.name, options.common.dir);
  ckpt::CheckpointStore store(storage, found.store.directory(), "seal");
  work.begin("check " + ckpt::step_name(found.info.step), found.info.bytes);
  const ckpt::Sealed sealed = ckpt::seal_step(storage, store, found.info.step, work.progress());
  work.clear();
  if (options.common.json) {
    cli::print_json_line({{"step", found.info.step.value()},
                          {"id", sealed.id.hex()},
                          {"was_sealed", sealed.was_sealed}});
  } else {
    cli::print("{}: id {}{}\n", found.folder().string(), sealed.id.hex(),
               sealed.was_sealed ? ", as before" : "");
  }
  return cli::kDone;
}

}  // namespace

void add_seal(CLI::App& app, Command& command) {
  CLI::App* sub = app.add_subcommand("seal", "Write the manifest of a step from its records");
  sub->footer("Example:\n  ptrain-ckpt seal --dir run/ckpt 2");
  auto o = std::make_shared<SealOptions>();
  sub->add_option("STEP", o->name, "The step, or the path of its folder")->required();
  add_common_options(*sub, o->common);
  sub->callback([&command, o] { command = [o] { return seal(*o); }; });
}

}  // namespace ptrain::ckpt_tool
