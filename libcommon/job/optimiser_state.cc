#include "libcommon/job/optimiser_state.h"

namespace ptrain::job {

bool is_hidden_matrix(const ParameterSpec& parameter) {
  return parameter.layer.has_value() && parameter.shape.size() == 2;
}

std::vector<std::string> state_suffixes(const OptimConfig& optim, const ParameterSpec& parameter) {
  std::vector<std::string> suffixes{".exp_avg", ".exp_avg_sq"};
  if (optim.name == OptimiserKind::muon && is_hidden_matrix(parameter)) {
    suffixes = {".momentum_buffer"};
  }
  if (optim.ema > 0) suffixes.emplace_back(kAverageSuffix);
  return suffixes;
}

}  // namespace ptrain::job
