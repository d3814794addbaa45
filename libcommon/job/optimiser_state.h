// What an optimiser keeps of a parameter, by the names that it has in a checkpoint. Pure.

#pragma once

#include <string>
#include <vector>

#include "libcommon/job/job.h"
#include "libcommon/job/model_config.h"

namespace ptrain::job {

// Whether Muon moves it: a matrix of a decoder layer.
bool is_hidden_matrix(const ParameterSpec& parameter);

inline constexpr const char* kAverageSuffix = ".ema";

// ".exp_avg", ".exp_avg_sq", or under Muon for a hidden matrix ".momentum_buffer"; and ".ema" where
// weights are averaged: each float32 in the parameter's shape, and named by it and the suffix.
std::vector<std::string> state_suffixes(const OptimConfig& optim, const ParameterSpec& parameter);

}  // namespace ptrain::job
