#include <fmt/format.h>

#include "libcommon/base/error.h"
#include "libcommon/base/sha256.h"
#include "libcommon/ckpt/hf_export.h"
#include "libcommon/ckpt/hf_import.h"
#include "tests/crash/saving.h"
#include "tests/crash/scenarios.h"

namespace ptrain::crash {
namespace {

namespace fs = std::filesystem;
using ckpt::CheckpointStore;

const fs::path kExport = "/hf";
constexpr ByteCount kFileBytes{2000};  // several files, and an index

void export_step(os::Storage& disk, Step step) {
  const CheckpointStore store(disk, kFolder, "reader");
  const ckpt::CheckpointReader source(disk, store.step_directory(step));
  ckpt::export_hf(source, disk, kExport, {.max_file_bytes = kFileBytes, .replace = true});
}

// Whether every parameter there is that of the sample.
bool holds(const ckpt::HfModel& model, const Sample& sample) {
  for (const job::ParameterSpec& parameter : job::parameters(model.config())) {
    Sha256 hash;
    model.stream(parameter.name, [&](std::span<const std::byte> bytes) { hash.update(bytes); });
    if (hash.digest() != sha256(sample->tensors().at(parameter.name))) return false;
  }
  return true;
}

// A folder that has a config.json is a whole model, the one before or the one after.
std::vector<std::string> flaws_of_export(os::Storage& disk, const Sample& before,
                                         const Sample& after) {
  if (!disk.status(kExport / ckpt::kHfConfigName)) return {};
  try {
    const ckpt::HfModel model(disk, kExport);
    if (holds(model, before) || holds(model, after)) return {};
    return {"the exported model has other weights"};
  } catch (const Error& error) {
    return {fmt::format("the export has a config.json and is not whole: {}", error.what())};
  }
}

// As reshard, an import says so when a crash came after its last word.
void import_model(const World& world) {
  const ckpt::HfModel model(world.disk, kExport);
  const std::vector<job::StageSpan> cut = {{0, 1, true, false}, {1, 2, false, true}};
  CheckpointStore target(world.disk, kHosts[0], "import");
  try {
    world.promises.saved(kHosts[0], Step(0), ckpt::import_hf(model, cut, world.disk, target));
  } catch (const Error& error) {
    if (error.kind() != ErrorKind::usage) throw;
    world.promises.saved(kHosts[0], Step(0), target.inspect(Step(0))->id.value());
  }
}

}  // namespace

std::vector<Scenario> hugging_face_scenarios() {
  const Sample before = sample(10);
  const Sample after = sample(20);
  const auto prepare = [=](const World& w) {
    w.promises.watch(kFolder);
    w.promises.watch(kHosts[0]);
    save(w, before, kTwoStages);
    save(w, after, kWhole);
    export_step(w.disk, Step(10));
  };
  return {
      {"an_export_over_another", prepare, [](const World& w) { export_step(w.disk, Step(20)); },
       [=](os::Storage& disk) { return flaws_of_export(disk, before, after); }},
      {"an_import", prepare, import_model},
  };
}

}  // namespace ptrain::crash
