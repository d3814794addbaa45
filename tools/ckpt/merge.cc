// ptrain-ckpt merge: the stages of a step from several hosts' folders, in one.

#include "libcommon/ckpt/merge.h"

#include <memory>
#include <vector>

#include <CLI/CLI.hpp>
#include <fmt/ranges.h>

#include "libcommon/base/log.h"
#include "libcommon/ckpt/checkpoint_name.h"
#include "libcommon/cli/early_end.h"
#include "libcommon/cli/exit_code.h"
#include "tools/ckpt/byte_work.h"
#include "tools/ckpt/commands.h"
#include "tools/ckpt/written_checkpoint.h"

namespace ptrain::ckpt_tool {
namespace {

struct MergeOptions {
  std::string which;
  std::vector<std::string> directories;
  std::string out;
  bool json = false;
};

// The target's own files come first: what it holds need not be copied.
std::vector<std::filesystem::path> sources_of(os::Storage& storage, const MergeOptions& options,
                                              const std::filesystem::path& target) {
  std::vector<std::filesystem::path> sources{target};
  for (const std::string& word : options.directories) {
    sources.push_back(ckpt::checkpoint_folder(storage, word));
    if (storage.followed_status(sources.back())) continue;
    throw cli::EarlyEnd{cli::kNegative, "no folder " + word};
  }
  return sources;
}

ckpt::MergePlan plan_of(os::Storage& storage, const MergeOptions& options,
                        const std::vector<std::filesystem::path>& sources, Log& log) {
  const bool newest = options.which == "latest";
  if (newest) {
    if (auto plan = ckpt::plan_newest_merge(storage, sources, log)) return std::move(*plan);
  }
  for (const std::filesystem::path& directory : sources) {
    if (newest) break;
    const ckpt::CheckpointStore store(storage, directory, "merge");
    if (const auto found = store.find(options.which)) {
      return ckpt::plan_merge(storage, sources, found->step);
    }
  }
  throw cli::EarlyEnd{cli::kNegative,
                      fmt::format("no {} in {}", newest ? "checkpoint" : "step " + options.which,
                                  fmt::join(options.directories, ", "))};
}

ByteCount bytes_of(const ckpt::MergePlan& plan) {
  std::uint64_t bytes = 0;
  for (const ckpt::FileDigest& file : ckpt::files(plan.manifest)) bytes += file.bytes.value();
  return ByteCount(bytes);
}

int merge(const MergeOptions& options) {
  StderrLog log("ptrain-ckpt");
  os::PosixStorage storage(&log);
  ByteWork work;
  const auto out = ckpt::checkpoint_folder(storage, options.out);
  const ckpt::MergePlan plan = plan_of(storage, options, sources_of(storage, options, out), log);
  const Step step = plan.manifest.run.step;
  ckpt::CheckpointStore target(storage, out, "merge");
  work.begin("merge " + ckpt::step_name(step), bytes_of(plan));
  const ckpt::CheckpointId id = ckpt::merge(storage, plan, target, work.progress());
  work.clear();
  print_written(target.step_directory(step), id, plan.manifest, options.json);
  return cli::kDone;
}

}  // namespace

void add_merge(CLI::App& app, Command& command) {
  CLI::App* sub = app.add_subcommand("merge", "Bring a step's stages together in one folder");
  sub->footer("Example:\n  ptrain-ckpt merge 2 one/ckpt two/ckpt --out whole");
  auto o = std::make_shared<MergeOptions>();
  sub->add_option("STEP", o->which, "latest, the step, or 8 digits or more of its id")->required();
  sub->add_option("DIR", o->directories, "Folders of checkpoints that hold stages")->required();
  sub->add_option("--out", o->out, "Folder of checkpoints to bring them to")->required();
  sub->add_flag("--json", o->json, "Print JSON, one object a line");
  sub->callback([&command, o] { command = [o] { return merge(*o); }; });
}

}  // namespace ptrain::ckpt_tool
