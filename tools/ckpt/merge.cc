// ptrain-ckpt merge: the stages of a step from several hosts' folders, in one.

#include "libcommon/ckpt/merge.h"

#include <memory>
#include <vector>

#include <CLI/CLI.hpp>

#include "libcommon/cli/exit_code.h"
#include "tools/ckpt/byte_work.h"
#include "tools/ckpt/checkpoint_name.h"
#include "tools/ckpt/commands.h"
#include "tools/ckpt/early_end.h"
#include "tools/ckpt/written_checkpoint.h"

namespace ptrain::ckpt_tool {
namespace {

struct MergeOptions {
  std::string step;
  std::vector<std::string> directories;
  std::string out;
  bool json = false;
};

// The target's own files come first: what it holds need not be copied.
std::vector<std::filesystem::path> sources_of(const MergeOptions& options) {
  std::vector<std::filesystem::path> sources{options.out};
  sources.insert(sources.end(), options.directories.begin(), options.directories.end());
  return sources;
}

Step step_of(os::Storage& storage, const MergeOptions& options) {
  for (const std::filesystem::path& directory : sources_of(options)) {
    const ckpt::CheckpointStore store(storage, directory, "merge");
    if (const auto found = store.find(options.step)) return found->step;
  }
  throw EarlyEnd{cli::kNegative, "no step " + options.step + " in any of the folders"};
}

ByteCount bytes_of(const ckpt::MergePlan& plan) {
  std::uint64_t bytes = 0;
  for (const ckpt::FileDigest& file : ckpt::files(plan.manifest)) bytes += file.bytes.value();
  return ByteCount(bytes);
}

int merge(const MergeOptions& options) {
  os::PosixStorage storage;
  ByteWork work;
  const Step step = step_of(storage, options);
  const ckpt::MergePlan plan = ckpt::plan_merge(storage, sources_of(options), step);
  ckpt::CheckpointStore target(storage, options.out, "merge");
  work.begin("merge " + ckpt::step_name(step), bytes_of(plan));
  const ckpt::CheckpointId id = ckpt::merge(storage, plan, target, work.progress());
  work.clear();
  print_written(target.step_directory(step), id, plan.manifest, options.json);
  return cli::kDone;
}

}  // namespace

void add_merge(CLI::App& app, Command& command) {
  CLI::App* sub = app.add_subcommand("merge", "Bring a step's stages together in one folder");
  auto o = std::make_shared<MergeOptions>();
  sub->add_option("STEP", o->step, "The step, or 8 digits or more of its id")->required();
  sub->add_option("DIR", o->directories, "Folders of checkpoints that hold stages")->required();
  sub->add_option("--out", o->out, "Folder of checkpoints to bring them to")->required();
  sub->add_flag("--json", o->json, "Print JSON, one object a line");
  sub->callback([&command, o] { command = [o] { return merge(*o); }; });
}

}  // namespace ptrain::ckpt_tool
