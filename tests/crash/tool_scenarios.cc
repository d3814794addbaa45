#include <algorithm>
#include <iterator>

#include "libcommon/base/error.h"
#include "libcommon/ckpt/checkpoint_reader.h"
#include "libcommon/ckpt/merge.h"
#include "libcommon/ckpt/reshard.h"
#include "libcommon/ckpt/retention.h"
#include "libcommon/ckpt/seal.h"
#include "libcommon/ckpt/verify.h"
#include "libcommon/os/read_file.h"
#include "tests/crash/saving.h"
#include "tests/crash/scenarios.h"

namespace ptrain::crash {
namespace {

namespace fs = std::filesystem;
using ckpt::CheckpointStore;

constexpr std::size_t kMostBytes = 1 << 20;  // of a sample's file

// As cp does it: nobody syncs anything. The manifest is left behind.
void copy_by_hand(os::Storage& disk, const fs::path& from, const fs::path& to) {
  disk.create_directory(to);
  for (const std::string& name : disk.list(from)) {
    if (name == ckpt::kManifestName) continue;
    const std::string text = os::read_file(disk, from / name, kMostBytes);
    disk.create(to / name)->append(std::as_bytes(std::span(text)));
  }
}

void seal(const World& world, Step step) {
  CheckpointStore store(world.disk, kFolder, "seal");
  world.promises.saved(kFolder, step, ckpt::seal_step(world.disk, store, step).id);
}

void merge(const World& world, Step step, const fs::path& target) {
  const std::vector<fs::path> hosts(std::begin(kHosts), std::end(kHosts));
  CheckpointStore store(world.disk, target, "merge");
  world.promises.saved(target, step,
                       ckpt::merge(world.disk, ckpt::plan_merge(world.disk, hosts, step), store));
}

// An operation that writes over nothing says so when a crash came after its last word; what
// is there must then be what it would have written.
void reshard(const World& world, const fs::path& source, const std::vector<job::StageSpan>& cut) {
  const ckpt::CheckpointReader reader(world.disk, source);
  const Step step = reader.manifest().run.step;
  CheckpointStore target(world.disk, kFolder, "reshard");
  try {
    world.promises.saved(kFolder, step, ckpt::reshard(reader, cut, world.disk, target));
  } catch (const Error& error) {
    if (error.kind() != ErrorKind::usage) throw;
    world.promises.saved(kFolder, step, target.inspect(step)->id.value());
  }
}

// The steps of tools/ckpt/gc.cc, with every promise.
void collect_garbage(const World& world, std::uint64_t keep_last) {
  CheckpointStore store(world.disk, kFolder, "gc");
  const std::vector<ckpt::StepInfo> steps = store.list();
  const auto verified = ckpt::newest_verified(steps, [&](const ckpt::StepInfo& info) {
    return ckpt::verify_step(world.disk, store.step_directory(info.step),
                             {.thoroughness = ckpt::Thoroughness::data})
        .sound();
  });
  for (const ckpt::Retention& decision : ckpt::plan_retention(
           steps, verified.value(), {.keep_last = keep_last}, std::chrono::system_clock::now())) {
    if (decision.keep) continue;
    world.promises.withdrawn(kFolder, decision.step);
    store.remove_step(decision.step);
    world.promises.removed(kFolder, decision.step);
  }
}

std::vector<Scenario> seal_scenarios() {
  const Sample step = sample(10);
  const fs::path by_hand = fs::path(kHosts[0]) / ckpt::step_name(Step(10));
  return {
      {"a_seal_of_what_a_run_left",
       [=](const World& w) {
         w.promises.watch(kFolder);
         CheckpointStore store(w.disk, kFolder, "stage-00");
         for (std::uint32_t i = 0; i < 2; ++i) store.write_stage(step->stage(i, kTwoStages));
       },
       [](const World& w) { seal(w, Step(10)); }},
      {"a_seal_of_what_was_copied_by_hand",
       [=](const World& w) {
         w.promises.watch(kFolder);
         CheckpointStore store(w.disk, kHosts[0], "stage-00");
         step->save(store, kTwoStages);
         w.disk.create_directory("/run");
         w.disk.create_directory(kFolder);
       },
       [=](const World& w) {
         CheckpointStore store(w.disk, kFolder, "hand");
         if (!store.inspect(Step(10)) || !store.inspect(Step(10))->id) {
           copy_by_hand(w.disk, by_hand, store.step_directory(Step(10)));
         }
         seal(w, Step(10));
       }},
  };
}

std::vector<Scenario> merge_scenarios() {
  const Sample step = sample(10);
  const auto two_hosts = [=](const World& w) {
    w.promises.watch(kHosts[0], {StageIndex(0)});
    w.promises.watch(kHosts[1], {StageIndex(1)});
    save_on_two_hosts(w, step);
  };
  return {
      {"a_merge",
       [=](const World& w) {
         two_hosts(w);
         w.promises.watch(kFolder);
       },
       [](const World& w) { merge(w, Step(10), kFolder); }},
      {"a_merge_into_one_of_the_folders", two_hosts,
       [](const World& w) { merge(w, Step(10), kHosts[0]); }},
  };
}

}  // namespace

std::vector<Scenario> tool_scenarios() {
  const Sample steps[] = {sample(10), sample(20), sample(30)};
  std::vector<Scenario> scenarios = seal_scenarios();
  std::ranges::copy(merge_scenarios(), std::back_inserter(scenarios));
  scenarios.push_back({"a_reshard",
                       [=](const World& w) {
                         w.promises.watch(kFolder);
                         CheckpointStore source(w.disk, kHosts[0], "stage-00");
                         steps[0]->save(source, kWhole);
                       },
                       [](const World& w) {
                         reshard(w, fs::path(kHosts[0]) / ckpt::step_name(Step(10)),
                                 {{0, 1, true, false}, {1, 2, false, true}});
                       }});
  scenarios.push_back({"a_garbage_collection",
                       [=](const World& w) {
                         w.promises.watch(kFolder);
                         for (const Sample& step : steps) save(w, step, kWhole);
                       },
                       [](const World& w) { collect_garbage(w, 1); }});
  return scenarios;
}

}  // namespace ptrain::crash
