#include "libcommon/ckpt/store.h"
#include "tests/crash/saving.h"
#include "tests/crash/scenarios.h"

namespace ptrain::crash {
namespace {

using ckpt::CheckpointStore;

void begin_with(const World& world, const Sample& sample, const Cut& cut) {
  world.promises.watch(kFolder);
  save(world, sample, cut);
}

// What a killed process leaves: one stage's files, and unfinished ones.
void leave_unfinished_save(const World& world, const Sample& sample) {
  CheckpointStore store(world.disk, kFolder, "stage-00");
  store.write_stage(sample->stage(0, kTwoStages));
  for (const char* name :
       {".tmp-stage-00.stage-01.model.safetensors", ".tmp-stage-00.manifest.json"}) {
    world.disk.create(store.step_directory(sample->run().step) / name)
        ->append(std::vector(700, std::byte('x')));
  }
}

}  // namespace

std::vector<Scenario> save_scenarios() {
  const Sample old = sample(10);
  const Sample next = sample(20);
  const Sample other = sample(10, 2);
  const Sample other_next = sample(20, 2);
  return {
      {"the_first_save", [](const World& w) { w.promises.watch(kFolder); },
       [=](const World& w) { save(w, next, kWhole); }},
      {"the_next_save", [=](const World& w) { begin_with(w, old, kWhole); },
       [=](const World& w) { save(w, next, kWhole); }},
      {"two_stages_that_share_a_folder", [=](const World& w) { begin_with(w, old, kTwoStages); },
       [=](const World& w) { save_by_two(w, next); }},
      {"two_hosts_with_a_folder_each",
       [=](const World& w) {
         for (std::uint32_t i = 0; i < 2; ++i) w.promises.watch(kHosts[i], {StageIndex(i)});
         save_on_two_hosts(w, old);
       },
       [=](const World& w) { save_on_two_hosts(w, next); }},
      {"a_step_saved_again", [=](const World& w) { begin_with(w, old, kTwoStages); },
       [=](const World& w) { save_by_two(w, old); }},
      {"a_step_saved_again_with_other_bytes",
       [=](const World& w) { begin_with(w, old, kTwoStages); },
       [=](const World& w) {
         w.promises.withdrawn(kFolder, Step(10));
         save_by_two(w, other);
       }},
      {"a_step_saved_again_by_fewer_stages",
       [=](const World& w) { begin_with(w, old, kTwoStages); },
       [=](const World& w) {
         w.promises.withdrawn(kFolder, Step(10));
         save(w, old, kWhole);
       }},
      {"a_save_after_one_that_was_killed",
       [=](const World& w) {
         begin_with(w, old, kTwoStages);
         leave_unfinished_save(w, other_next);
       },
       [=](const World& w) { save(w, next, kTwoStages); }},
  };
}

std::vector<Scenario> removal_scenarios() {
  const Sample old = sample(10);
  const Sample next = sample(20);
  const auto remove = [](const World& w) {
    w.promises.withdrawn(kFolder, Step(20));
    CheckpointStore(w.disk, kFolder, "stage-00").remove_step(Step(20));
    w.promises.removed(kFolder, Step(20));
  };
  return {
      {"a_removal",
       [=](const World& w) {
         begin_with(w, old, kWhole);
         save(w, next, kTwoStages);
       },
       remove},
      {"a_removal_of_an_unfinished_save",
       [=](const World& w) {
         begin_with(w, old, kTwoStages);
         leave_unfinished_save(w, next);
       },
       remove},
  };
}

}  // namespace ptrain::crash
