// --stages and --layers: into which stages a checkpoint is cut.

#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include <CLI/CLI.hpp>

#include "libcommon/job/model_config.h"

namespace ptrain::ckpt_tool {

struct CutOptions {
  std::size_t stages = 0;
  std::vector<std::string> layers;  // of each stage, as in pipeline.layers of a job
};

void add_cut_options(CLI::App& command, CutOptions& options);

// `default_stages` where neither option was given; 0 refuses that. Throws Error(usage).
std::vector<job::StageSpan> cut_of(const CutOptions& options, const job::ModelConfig& model,
                                   std::size_t default_stages);

}  // namespace ptrain::ckpt_tool
