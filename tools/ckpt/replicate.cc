// ptrain-ckpt replicate: keeps a copy of a run's newest checkpoints on this host.

#include <algorithm>
#include <cstdio>
#include <memory>
#include <thread>

#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include "libcommon/base/error.h"
#include "libcommon/ckpt/checkpoint_name.h"
#include "libcommon/ckpt/retention.h"
#include "libcommon/ckpt/store.h"
#include "libcommon/cli/event_output.h"
#include "libcommon/cli/json_line.h"
#include "libcommon/cli/number_range.h"
#include "libcommon/cli/output.h"
#include "tools/ckpt/commands.h"
#include "tools/ckpt/fetch_work.h"
#include "tools/ckpt/holder_options.h"
#include "tools/ckpt/options.h"

namespace ptrain::ckpt_tool {
namespace {

struct ReplicateOptions {
  CommonOptions common;
  HolderCommandOptions holders;
  std::uint64_t keep_last = 0;  // 0: keep everything
  double interval_s = 10;
};

constexpr Duration kStopQuestionInterval = std::chrono::milliseconds(100);

bool has(const ckpt::CheckpointStore& store, const transfer::Entry& entry,
         const transfer::Share& share) {
  const auto here = store.inspect(entry.step);
  if (!here || here->id != entry.id) return false;
  if (const auto* stage = std::get_if<StageIndex>(&share)) {
    return std::ranges::find(here->held, *stage) != here->held.end();
  }
  return here->state == ckpt::StepState::complete;
}

// The step that has just come was checked to its last byte, so it is the one to keep.
void remove_old(ckpt::CheckpointStore& store, Step newest, std::uint64_t keep_last, Log& log) {
  const auto steps = store.list();
  const auto plan = ckpt::plan_retention(steps, newest, {.keep_last = keep_last, .keep_every = 0},
                                         std::chrono::system_clock::now());
  for (const ckpt::Retention& decision : plan) {
    if (decision.keep) continue;
    store.remove_step(decision.step);
    log.info(fmt::format("removed {}: {}", ckpt::step_name(decision.step), decision.reason));
  }
}

// One look at the holders; a newer checkpoint than those here is fetched.
void round(const ReplicateOptions& options, ckpt::CheckpointStore& store, FetchWork& work,
           cli::EventOutput& output) {
  transfer::FetchOptions fetching = fetch_options(options.holders);
  fetching.directory = store.directory();
  const auto newest = work.find(fetching);
  if (!newest || has(store, *newest, fetching.share)) return;
  fetching.which = newest->id.hex();
  const transfer::FetchResult result = work.fetch(std::move(fetching));
  output.line(options.common.json ? cli::json_line(to_json(result)) : to_text(result));
  if (options.keep_last > 0) remove_old(store, result.step, options.keep_last, work.log());
}

// What another look, later, may not meet. A disk that was good once may be so again.
bool passes(const Error& error, bool begun) {
  return (begun && error.kind() == ErrorKind::io) || error.kind() == ErrorKind::unavailable ||
         error.kind() == ErrorKind::try_again || error.kind() == ErrorKind::corrupt;
}

int replicate(const ReplicateOptions& options) {
  FetchWork work;
  cli::EventOutput output(work.log());
  bool begun = false;
  ckpt::CheckpointStore store(
      work.storage(), ckpt::checkpoint_folder(work.storage(), options.common.dir), "replicate");
  const auto interval = std::chrono::duration<double>(options.interval_s);
  while (!work.stop_requested()) {
    try {
      round(options, store, work, output);
      begun = true;
    } catch (const Error& error) {
      if (!passes(error, begun)) throw;
      work.log().warning(error.what());
    }
    const auto until = std::chrono::steady_clock::now() + interval;
    while (!work.stop_requested() && std::chrono::steady_clock::now() < until) {
      std::this_thread::sleep_for(kStopQuestionInterval);
    }
  }
  return work.stop_code();
}

}  // namespace

void add_replicate(CLI::App& app, Command& command) {
  CLI::App* sub = app.add_subcommand("replicate", "Keep a copy of new checkpoints here");
  sub->footer(
      "Example:\n"
      "  ptrain-ckpt replicate --from tcp://one.example.net:7100#KEY --dir copy --keep-last 3");
  auto o = std::make_shared<ReplicateOptions>();
  add_holder_options(*sub, o->holders);
  sub->add_option("--keep-last", o->keep_last, "Remove all but the newest K that are here")
      ->check(cli::whole_range(std::uint64_t{1}, std::uint64_t{1'000'000}));
  sub->add_option("--interval", o->interval_s, "Seconds between two looks at the holders")
      ->check(cli::number_range(0.1, 86400.0))
      ->capture_default_str();
  add_common_options(*sub, o->common);
  sub->callback([&command, o] { command = [o] { return replicate(*o); }; });
}

}  // namespace ptrain::ckpt_tool
