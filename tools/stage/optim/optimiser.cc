#include "tools/stage/optim/optimiser.h"

#include "tools/stage/optim/adamw.h"
#include "tools/stage/optim/muon.h"
#include "tools/stage/optim/weight_average.h"

namespace ptrain::stage {

// The products of an update have the precision of the job's others.
std::unique_ptr<Optimiser> make_optimiser(const job::Job& job,
                                          const std::vector<Parameter>& parameters) {
  std::optional<MuonConfig> muon;
  if (job.optim.name == job::OptimiserKind::muon) {
    muon.emplace();
    muon->momentum = job.optim.momentum;
    muon->precision = job.precision == job::ComputePrecision::bfloat16
                          ? NewtonSchulzPrecision::bfloat16
                          : NewtonSchulzPrecision::float32;
  }
  auto optimiser = make_optimiser(job.optim, muon, parameters);
  if (job.optim.ema == 0) return optimiser;
  return std::make_unique<Averaging>(
      std::move(optimiser), AverageConfig{.decay = job.optim.ema, .from = job.optim.ema_from},
      parameters);
}

std::unique_ptr<Optimiser> make_optimiser(const job::OptimConfig& config,
                                          const std::optional<MuonConfig>& muon,
                                          const std::vector<Parameter>& parameters) {
  if (muon) return std::make_unique<Muon>(*muon, config, parameters);
  return std::make_unique<AdamW>(config, parameters);
}

}  // namespace ptrain::stage
