#include "tools/stage/whole_model.h"

#include <variant>

#include <fmt/format.h>

#include "libcommon/base/error.h"
#include "libcommon/ckpt/averages.h"
#include "libcommon/ckpt/checkpoint_name.h"
#include "libcommon/ckpt/checkpoint_reader.h"
#include "libcommon/cli/early_end.h"
#include "libcommon/cli/exit_code.h"
#include "libcommon/job/optimiser_state.h"
#include "tools/stage/cell/tensor_bytes.h"

namespace ptrain::stage {

namespace {

// Where a name is alone, as in a job.
constexpr const char* kDefaultDirectory = "ckpt";

ckpt::CheckpointName name_of(os::Storage& storage, const WholeModelOptions& options) {
  ckpt::CheckpointName name =
      ckpt::parse_checkpoint_name(storage, options.checkpoint, kDefaultDirectory);
  if (options.step.empty()) return name;
  if (!name.which.empty()) {
    throw Error(ErrorKind::usage,
                fmt::format("--step {}: --checkpoint {} names a checkpoint already", options.step,
                            options.checkpoint));
  }
  name.which = options.step;
  return name;
}

}  // namespace

WholeModel load_whole_model(const WholeModelOptions& options) {
  os::PosixStorage storage;
  const ckpt::LookedUp looked_up = ckpt::find_complete(storage, name_of(storage, options));
  if (const auto* none = std::get_if<ckpt::NoCheckpoint>(&looked_up)) {
    throw cli::EarlyEnd{none->corrupt ? cli::kCorrupt : cli::kNegative, none->why, none->hint};
  }
  const auto& found = std::get<ckpt::FoundCheckpoint>(looked_up);
  const ckpt::CheckpointReader reader(storage, found.folder());
  const job::ModelConfig& config = reader.manifest().run.model;
  auto model =
      std::make_unique<StageModel>(config, job::StageSpan{0, config.num_hidden_layers, true, true},
                                   ModelOptions{.precision = options.precision,
                                                .device = options.device,
                                                .micro_batch = options.micro_batch,
                                                .seq_len = options.seq_len});
  if (options.averages) ckpt::require_averages(reader);
  for (Parameter& parameter : model->parameters()) {
    const std::string& name = parameter.spec.name;
    read_tensor(reader, options.averages ? name + job::kAverageSuffix : name, parameter.value);
  }
  model->refresh_compute();
  return {found.info.step, reader.id().hex(), reader.tokenizer(), std::move(model)};
}

}  // namespace ptrain::stage
