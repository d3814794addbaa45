// ptrain-ckpt reshard: the same checkpoint for another number of stages.

#include "libcommon/ckpt/reshard.h"

#include <memory>

#include <CLI/CLI.hpp>

#include "libcommon/base/log.h"
#include "libcommon/cli/exit_code.h"
#include "tools/ckpt/byte_work.h"
#include "tools/ckpt/commands.h"
#include "tools/ckpt/cut_options.h"
#include "tools/ckpt/found_checkpoint.h"
#include "tools/ckpt/options.h"
#include "tools/ckpt/written_checkpoint.h"

namespace ptrain::ckpt_tool {
namespace {

struct ReshardOptions {
  CommonOptions common;
  std::string name;
  CutOptions cut;
  std::string out;
};

int reshard(const ReshardOptions& options) {
  StderrLog log("ptrain-ckpt");
  os::PosixStorage storage(&log);
  ByteWork work;
  const ckpt::FoundCheckpoint found = find_complete(storage, options.name, options.common.dir);
  const ckpt::CheckpointReader source(storage, found.folder());
  ckpt::CheckpointStore target(storage, options.out, "reshard");
  work.begin("reshard " + ckpt::step_name(found.info.step), found.info.bytes);
  const ckpt::CheckpointId id =
      ckpt::reshard(source, cut_of(options.cut, source.manifest().run.model, 0), storage, target,
                    work.progress());
  work.clear();
  print_written(target.step_directory(found.info.step), id, target.read_manifest(found.info.step),
                options.common.json);
  return cli::kDone;
}

}  // namespace

void add_reshard(CLI::App& app, Command& command) {
  CLI::App* sub = app.add_subcommand("reshard", "Cut a checkpoint into other stages");
  sub->footer("Example:\n  ptrain-ckpt reshard run/ckpt/latest --stages 4 --out in-four");
  auto o = std::make_shared<ReshardOptions>();
  sub->add_option("CHECKPOINT", o->name, "The checkpoint to cut")->required();
  add_cut_options(*sub, o->cut);
  sub->add_option("--out", o->out, "Folder of checkpoints to write it into")->required();
  add_common_options(*sub, o->common);
  sub->callback([&command, o] { command = [o] { return reshard(*o); }; });
}

}  // namespace ptrain::ckpt_tool
