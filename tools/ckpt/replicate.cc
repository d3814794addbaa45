// ptrain-ckpt replicate: keeps a copy of a run's newest checkpoints on this host.

#include <algorithm>
#include <cstdio>
#include <memory>
#include <thread>

#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include "libcommon/base/error.h"
#include "libcommon/ckpt/retention.h"
#include "libcommon/ckpt/store.h"
#include "libcommon/cli/json_line.h"
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
void round(const ReplicateOptions& options, ckpt::CheckpointStore& store, FetchWork& work) {
  transfer::FetchOptions fetching = fetch_options(options.holders);
  fetching.directory = options.common.dir;
  const auto newest = work.find(fetching);
  if (!newest || has(store, *newest, fetching.share)) return;
  fetching.which = newest->id.hex();
  const transfer::FetchResult result = work.fetch(std::move(fetching));
  if (options.common.json) {
    cli::print_json_line(to_json(result));
  } else {
    fmt::print("{}", to_text(result));
  }
  std::fflush(stdout);
  if (options.keep_last > 0) remove_old(store, result.step, options.keep_last, work.log());
}

// What another look, later, may not meet.
bool passes(const Error& error) {
  return error.kind() == ErrorKind::unavailable || error.kind() == ErrorKind::try_again ||
         error.kind() == ErrorKind::corrupt;
}

int replicate(const ReplicateOptions& options) {
  FetchWork work;
  ckpt::CheckpointStore store(work.storage(), options.common.dir, "replicate");
  const auto interval = std::chrono::duration<double>(options.interval_s);
  while (!work.stop_requested()) {
    try {
      round(options, store, work);
    } catch (const Error& error) {
      if (!passes(error)) throw;
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
  auto o = std::make_shared<ReplicateOptions>();
  add_holder_options(*sub, o->holders);
  sub->add_option("--keep-last", o->keep_last, "Remove all but the newest K that are here")
      ->check(CLI::Range(std::uint64_t{1}, std::uint64_t{1'000'000}));
  sub->add_option("--interval", o->interval_s, "Seconds between two looks at the holders")
      ->check(CLI::Range(0.1, 86400.0))
      ->capture_default_str();
  add_common_options(*sub, o->common);
  sub->callback([&command, o] { command = [o] { return replicate(*o); }; });
}

}  // namespace ptrain::ckpt_tool
