#include "libcommon/job/optimiser_state.h"

namespace ptrain::job {

bool is_hidden_matrix(const ParameterSpec& parameter) {
  return parameter.layer.has_value() && parameter.shape.size() == 2;
}

std::vector<std::string> state_suffixes(const OptimConfig& optim, const ParameterSpec& parameter) {
  if (optim.name == OptimiserKind::muon && is_hidden_matrix(parameter)) {
    return {".momentum_buffer"};
  }
  return {".exp_avg", ".exp_avg_sq"};
}

}  // namespace ptrain::job
