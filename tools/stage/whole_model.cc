#include "tools/stage/whole_model.h"

#include <fmt/format.h>

#include "libcommon/base/error.h"
#include "libcommon/ckpt/checkpoint_reader.h"
#include "libcommon/ckpt/store.h"
#include "tools/stage/engine/tensor_bytes.h"

namespace ptrain::stage {

WholeModel load_whole_model(const WholeModelOptions& options) {
  os::PosixStorage storage;
  const ckpt::CheckpointStore store(storage, options.directory, "reader");
  const auto found = store.find(options.which);
  if (!found) {
    throw Error(
        ErrorKind::usage,
        fmt::format("--checkpoint {}: no checkpoint {} in it", options.directory, options.which),
        "name the folder that holds step-... folders, such as DIR/ckpt of a run");
  }
  if (!found->manifest) {
    throw Error(ErrorKind::corrupt,
                fmt::format("{}: {}", store.step_directory(found->step).string(), found->reason),
                "ptrain-ckpt ls says which checkpoints there are whole");
  }
  const ckpt::CheckpointReader reader(storage, store.step_directory(found->step));
  const job::ModelConfig& config = reader.manifest().run.model;
  auto model =
      std::make_unique<StageModel>(config, job::StageSpan{0, config.num_hidden_layers, true, true},
                                   ModelOptions{.precision = options.precision,
                                                .device = options.device,
                                                .micro_batch = options.micro_batch,
                                                .seq_len = options.seq_len});
  for (Parameter& parameter : model->parameters()) {
    read_tensor(reader, parameter.spec.name, parameter.value);
  }
  model->refresh_compute();
  return {found->step, reader.id().hex(), std::move(model)};
}

}  // namespace ptrain::stage
