#include "tools/ckpt/cut_options.h"

#include <cstdint>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "libcommon/base/error.h"
#include "libcommon/base/in_quotes.h"
#include "libcommon/job/partition.h"

namespace ptrain::ckpt_tool {
namespace {

std::vector<job::StageLayers> layers_of(const CutOptions& options, std::int64_t most) {
  std::vector<job::StageLayers> stages;
  for (const std::string& text : options.layers) {
    const auto layers = job::parse_stage_layers(text, most);
    if (!layers) {
      throw Error(ErrorKind::usage,
                  fmt::format("--layers: {}: a stage holds 1 to {} layers, or a part of one",
                              in_quotes(text), most),
                  "give each stage 3, or 3+attention, or mlp+3, or one of the parts alone");
    }
    stages.push_back(*layers);
  }
  return stages;
}

}  // namespace

void add_cut_options(CLI::App& command, CutOptions& options) {
  auto* stages = command.add_option("--stages", options.stages,
                                    "Number of stages, cut as a job cuts them by default");
  command
      .add_option("--layers", options.layers,
                  "Layers of each stage: 3,3,2; with a cut inside a layer: 3+attention,mlp+4")
      ->delimiter(',')
      ->excludes(stages);
}

std::vector<job::StageSpan> cut_of(const CutOptions& options, const job::ModelConfig& model,
                                   std::size_t default_stages) {
  const std::size_t stages = !options.layers.empty() ? options.layers.size()
                             : options.stages > 0    ? options.stages
                                                     : default_stages;
  if (stages == 0) {
    throw Error(ErrorKind::usage, "into how many stages?", "give --stages N, or --layers 3,3,2");
  }
  const std::vector<job::StageLayers> layers = layers_of(options, model.num_hidden_layers);
  if (const auto open = job::open_cut(layers)) {
    throw Error(ErrorKind::usage,
                fmt::format("--layers {}: {}", fmt::join(options.layers, ","), *open));
  }
  if (!layers.empty() && job::layers_in_all(layers) != model.num_hidden_layers) {
    throw Error(ErrorKind::usage, fmt::format("--layers {}: {} layers, but the model has {}",
                                              fmt::join(options.layers, ","),
                                              job::layers_in_all(layers), model.num_hidden_layers));
  }
  return job::partition(model, stages, layers);
}

}  // namespace ptrain::ckpt_tool
