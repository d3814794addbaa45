#include <map>
#include <memory>

#include "libcommon/os/atomic_file.h"
#include "libcommon/transfer/complete_step.h"
#include "libcommon/transfer/protocol.h"
#include "tests/crash/saving.h"
#include "tests/crash/scenarios.h"

namespace ptrain::crash {
namespace {

namespace fs = std::filesystem;
using ckpt::CheckpointStore;

const fs::path kHolder = "/holder/ckpt";
const Step kStep(10);

// The disk's half of transfer/fetch.cc; what the holder sends is read from its folder.
void fetch(const World& world) {
  const CheckpointStore holder(world.disk, kHolder, "holder");
  CheckpointStore store(world.disk, kFolder, "fetch");
  const ckpt::Manifest manifest = holder.read_manifest(kStep);
  const auto here = store.inspect(kStep);
  const auto repair = here && here->id ? transfer::Repair::in_place : transfer::Repair::by_renaming;
  os::create_directories_durably(world.disk, store.step_directory(kStep));

  std::map<StageIndex, ckpt::StageRecord> records;
  for (std::uint32_t i = 0; i < manifest.stages.size(); ++i) {
    records.emplace(StageIndex(i), holder.read_record(kStep, StageIndex(i)));
  }
  std::vector<std::unique_ptr<transfer::LocalFile>> files;
  for (const auto& [stage, record] : records) {
    using transfer::Part;
    for (const Part part : {Part::model, Part::optim, Part::tokenizer}) {
      const ckpt::FileRecord* file = file_of(record, part);
      if (file == nullptr) continue;
      files.push_back(std::make_unique<transfer::LocalFile>(world.disk, store.step_directory(kStep),
                                                            *file, repair, store.writer()));
    }
  }
  std::vector<transfer::LocalFile*> pointers;
  for (const auto& file : files) {
    file->inspect([](ByteCount) {});
    const auto sent = world.disk.open(holder.step_directory(kStep) / file->record().file.name);
    for (const std::uint32_t chunk : std::vector(file->missing())) {
      std::vector<std::byte> bytes(file->chunk_bytes(chunk).value());
      sent->read_at(chunk * ckpt::kChunkBytes, bytes);
      file->write(chunk, bytes);
    }
    pointers.push_back(file.get());
  }
  transfer::complete_step(world.disk, store, manifest, records, pointers);
  world.promises.saved(kFolder, kStep, ckpt::checkpoint_id(manifest));
}

void prepare_holder(const World& world, const Sample& sample, const Cut& cut) {
  world.promises.watch(kHolder);
  world.promises.watch(kFolder);
  CheckpointStore holder(world.disk, kHolder, "holder");
  world.promises.saved(kHolder, kStep, sample->save(holder, cut));
}

// A run of bytes in the middle of a stage's file turns into others.
void damage(const World& world) {
  const fs::path path = CheckpointStore(world.disk, kFolder, "x").step_directory(kStep) /
                        ckpt::optim_file_name(StageIndex(1));
  world.disk.open_for_update(path)->write_at(2000, std::vector(700, std::byte{0x55}));
}

}  // namespace

std::vector<Scenario> fetch_scenarios() {
  const Sample step = sample(10);
  return {
      {"a_fetch", [=](const World& w) { prepare_holder(w, step, kWhole); }, fetch},
      {"a_fetch_of_what_is_here_in_part",
       [=](const World& w) {
         prepare_holder(w, step, kTwoStages);
         CheckpointStore store(w.disk, kFolder, "stage-00");
         store.write_stage(step->stage(0, kTwoStages));
       },
       fetch},
      {"a_repair",
       [=](const World& w) {
         prepare_holder(w, step, kTwoStages);
         save_by_two(w, step);
         damage(w);
         w.promises.damaged(kFolder, kStep);
       },
       fetch},
  };
}

}  // namespace ptrain::crash
