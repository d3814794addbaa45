#include "tools/stage/optim/optimiser.h"

#include "tools/stage/optim/adamw.h"
#include "tools/stage/optim/muon.h"

namespace ptrain::stage {

std::unique_ptr<Optimiser> make_optimiser(const job::OptimConfig& config,
                                          const std::optional<MuonConfig>& muon,
                                          const std::vector<Parameter>& parameters) {
  if (muon) return std::make_unique<Muon>(*muon, config, parameters);
  return std::make_unique<AdamW>(config, parameters);
}

}  // namespace ptrain::stage
