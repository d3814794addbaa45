#include "tools/ckpt/cut_options.h"

#include <numeric>

#include <fmt/format.h>

#include "libcommon/base/error.h"
#include "libcommon/job/partition.h"

namespace ptrain::ckpt_tool {

void add_cut_options(CLI::App& command, CutOptions& options) {
  auto* stages = command.add_option("--stages", options.stages,
                                    "Number of stages, cut as a job cuts them by default");
  command.add_option("--layers", options.layers, "Layers of each stage: 3,3,2")
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
  const auto sum = std::accumulate(options.layers.begin(), options.layers.end(), std::int64_t{0});
  if (!options.layers.empty() && sum != model.num_hidden_layers) {
    throw Error(ErrorKind::usage,
                fmt::format("--layers {}: {} layers, but the model has {}",
                            fmt::join(options.layers, ","), sum, model.num_hidden_layers));
  }
  return job::partition(model, stages, options.layers);
}

}  // namespace ptrain::ckpt_tool
