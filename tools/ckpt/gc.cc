// ptrain-ckpt gc: throws old checkpoints away, never the newest one that is known to be good.

#include <algorithm>
#include <chrono>
#include <limits>
#include <memory>
#include <vector>

#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include "libcommon/base/error.h"
#include "libcommon/base/log.h"
#include "libcommon/ckpt/retention.h"
#include "libcommon/ckpt/verify.h"
#include "libcommon/cli/exit_code.h"
#include "libcommon/cli/json_line.h"
#include "libcommon/cli/number_range.h"
#include "libcommon/cli/output.h"
#include "libcommon/cli/terminal.h"
#include "tools/ckpt/byte_work.h"
#include "tools/ckpt/commands.h"
#include "tools/ckpt/found_checkpoint.h"
#include "tools/ckpt/options.h"
#include "tools/ckpt/quantity.h"

namespace ptrain::ckpt_tool {
namespace {

struct GcOptions {
  CommonOptions common;
  ckpt::RetentionPolicy policy;
  bool yes = false;
};

Step newest_verified(os::Storage& storage, const ckpt::CheckpointStore& store,
                     const std::vector<ckpt::StepInfo>& steps, ByteWork& work) {
  const auto verify = [&](const ckpt::StepInfo& info) {
    work.begin("verify " + ckpt::step_name(info.step), info.bytes);
    return ckpt::verify_step(
               storage, store.step_directory(info.step),
               {.thoroughness = ckpt::Thoroughness::data, .progress = work.progress()})
        .sound();
  };
  const auto verified = ckpt::newest_verified(steps, verify);
  work.clear();
  if (!verified) {
    throw Error(ErrorKind::corrupt,
                store.directory().string() + ": no checkpoint there is sound, so all are kept",
                "ptrain-ckpt verify --all --data says what is wrong with them");
  }
  return *verified;
}

void print(const ckpt::Retention& decision, ByteCount bytes, const GcOptions& options) {
  const char* action = decision.keep ? "keep" : options.yes ? "removed" : "would remove";
  if (options.common.json) {
    cli::print_json_line({{"step", decision.step.value()},
                          {"action", decision.keep ? "keep" : "remove"},
                          {"done", !decision.keep && options.yes},
                          {"reason", decision.reason},
                          {"size_bytes", bytes.value()}});
  } else {
    cli::print("{:<12}  {}  {:>8}  {}\n", action, ckpt::step_name(decision.step), size_text(bytes),
               cli::fit_to_columns(decision.reason, std::string::npos));
  }
}

int gc(const GcOptions& options) {
  StderrLog log("ptrain-ckpt");
  os::PosixStorage storage(&log);
  ByteWork work;
  const FolderOfCheckpoints folder = open_folder(storage, options.common.dir);
  const std::vector<ckpt::StepInfo>& steps = folder.steps;
  ckpt::CheckpointStore store(storage, folder.store.directory(), "gc");
  const Step verified = newest_verified(storage, store, steps, work);
  const auto plan =
      ckpt::plan_retention(steps, verified, options.policy, std::chrono::system_clock::now());
  for (std::size_t i = 0; i < plan.size(); ++i) {
    if (!plan[i].keep && options.yes) store.remove_step(plan[i].step);
    print(plan[i], steps[i].bytes, options);
  }
  const bool any = std::ranges::any_of(plan, [](const auto& each) { return !each.keep; });
  if (any && !options.yes) log.info("nothing was removed; --yes removes");
  return cli::kDone;
}

}  // namespace

void add_gc(CLI::App& app, Command& command) {
  CLI::App* sub = app.add_subcommand("gc", "Remove old checkpoints");
  sub->footer(
      "Example:\n"
      "  ptrain-ckpt gc --dir run/ckpt --keep-last 3 --keep-every 1000\n"
      "  ptrain-ckpt gc --dir run/ckpt --keep-last 3 --keep-every 1000 --yes");
  auto o = std::make_shared<GcOptions>();
  sub->add_option("--keep-last", o->policy.keep_last, "Keep the newest K checkpoints")
      ->required()
      ->check(cli::whole_range(std::uint64_t{1}, std::uint64_t{1'000'000}));
  sub->add_option("--keep-every", o->policy.keep_every, "Keep steps that are multiples of N")
      ->check(cli::whole_range(std::uint64_t{1}, std::numeric_limits<std::uint64_t>::max()));
  sub->add_flag("--yes", o->yes, "Remove; without it, only say what would be removed");
  add_folder_options(*sub, o->common);
  sub->callback([&command, o] { command = [o] { return gc(*o); }; });
}

}  // namespace ptrain::ckpt_tool
