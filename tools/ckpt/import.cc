// ptrain-ckpt import: a model in Hugging Face's format as a checkpoint of step 0.

#include <memory>

#include <CLI/CLI.hpp>

#include "libcommon/base/log.h"
#include "libcommon/ckpt/hf_import.h"
#include "libcommon/cli/exit_code.h"
#include "tools/ckpt/byte_work.h"
#include "tools/ckpt/commands.h"
#include "tools/ckpt/cut_options.h"
#include "tools/ckpt/written_checkpoint.h"

namespace ptrain::ckpt_tool {
namespace {

struct ImportOptions {
  std::string folder;
  CutOptions cut;
  std::string out;
  bool json = false;
};

int run_import(const ImportOptions& options) {
  StderrLog log("ptrain-ckpt");
  os::PosixStorage storage(&log);
  ByteWork work;
  const ckpt::HfModel model(storage, options.folder);
  ckpt::CheckpointStore target(storage, options.out, "import");
  work.begin("import " + options.folder, model.data_size());
  const ckpt::CheckpointId id = ckpt::import_hf(model, cut_of(options.cut, model.config(), 1),
                                                storage, target, work.progress());
  work.clear();
  print_written(target.step_directory(Step(0)), id, target.read_manifest(Step(0)), options.json);
  return cli::kDone;
}

}  // namespace

void add_import(CLI::App& app, Command& command) {
  CLI::App* sub = app.add_subcommand("import", "Read a model in Hugging Face's format");
  sub->footer("Example:\n  ptrain-ckpt import --hf my-model --out imported");
  auto o = std::make_shared<ImportOptions>();
  sub->add_option("--hf", o->folder, "Folder to read")->required();
  sub->add_option("--out", o->out, "Folder of checkpoints to write into")->required();
  add_cut_options(*sub, o->cut);
  sub->add_flag("--json", o->json, "Print JSON, one object a line");
  sub->callback([&command, o] { command = [o] { return run_import(*o); }; });
}

}  // namespace ptrain::ckpt_tool
