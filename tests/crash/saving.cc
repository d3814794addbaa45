#include "tests/crash/saving.h"

#include "libcommon/ckpt/store.h"

namespace ptrain::crash {

using ckpt::CheckpointStore;

Sample sample(std::uint64_t step, std::uint64_t seed) {
  // A step that is saved again with other bytes is saved without its tokenizer.
  const std::string tokenizer = seed == 1 ? "the pieces of a model" : "";
  return std::make_shared<const ckpt::SampleCheckpoint>(
      Step(step), ckpt::SampleOptions{.seed = seed, .layers = 2, .tokenizer = tokenizer});
}

void save(const World& world, const Sample& sample, const Cut& cut) {
  CheckpointStore store(world.disk, kFolder, "stage-00");
  world.promises.saved(kFolder, sample->run().step, sample->save(store, cut));
}

void save_by_two(const World& world, const Sample& sample) {
  CheckpointStore first(world.disk, kFolder, "stage-00");
  CheckpointStore second(world.disk, kFolder, "stage-01");
  const std::vector<ckpt::StageRecord> records = {first.write_stage(sample->stage(0, kTwoStages)),
                                                  second.write_stage(sample->stage(1, kTwoStages))};
  const ckpt::Manifest manifest = ckpt::make_manifest(records);
  world.promises.saved(kFolder, sample->run().step, first.write_manifest(manifest));
  second.write_manifest(manifest);
}

void save_on_two_hosts(const World& world, const Sample& sample) {
  std::vector<ckpt::StageRecord> records;
  for (std::uint32_t i = 0; i < 2; ++i) {
    CheckpointStore store(world.disk, kHosts[i], "stage");
    records.push_back(store.write_stage(sample->stage(i, kTwoStages)));
  }
  for (const char* folder : kHosts) {
    CheckpointStore store(world.disk, folder, "stage");
    world.promises.saved(folder, sample->run().step,
                         store.write_manifest(ckpt::make_manifest(records)));
  }
}

}  // namespace ptrain::crash
