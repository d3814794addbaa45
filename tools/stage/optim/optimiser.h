// What an optimiser of a cell's parameters is to the rest of the house: a step over all of them,
// and state that checkpoints save and set back under the parameters' names and a suffix.
//
// A parameter's update follows from that parameter, its gradient, its state and the number of the
// update alone, so it is the same however a job is cut. Owns its state. One thread at a time;
// results do not depend on the number of OpenMP threads.

#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <ATen/ATen.h>

#include "libcommon/job/job.h"
#include "tools/stage/model/parameter.h"

namespace ptrain::stage {

struct MuonConfig;

// float32, the parameter's shape; written in place to restore a checkpoint.
struct OptimiserState {
  std::string suffix;  // ".exp_avg"
  at::Tensor tensor;
};

class Optimiser {
 public:
  virtual ~Optimiser() = default;

  // One update of `parameters` (those of the construction) from their gradients times the clip
  // factor.
  void step(std::vector<Parameter>& parameters, double lr, double clip_factor) {
    ++updates_;
    update(parameters, lr, clip_factor);
  }

  // What belongs to parameters[i], in the order of a checkpoint.
  virtual std::vector<OptimiserState> state(std::size_t i) const = 0;

  // Updates done, the one under way among them. Checkpoints save it with the state and set it back.
  std::uint64_t updates() const { return updates_; }
  void set_updates(std::uint64_t updates) { updates_ = updates; }

 private:
  virtual void update(std::vector<Parameter>& parameters, double lr, double clip_factor) = 0;

  std::uint64_t updates_ = 0;
};

// The one that the job names. Throws Error(io) when there is no memory for the state.
std::unique_ptr<Optimiser> make_optimiser(const job::Job& job,
                                          const std::vector<Parameter>& parameters);

// Without `muon`, AdamW for all parameters. Throws Error(io) when there is no memory for the state.
std::unique_ptr<Optimiser> make_optimiser(const job::OptimConfig& config,
                                          const std::optional<MuonConfig>& muon,
                                          const std::vector<Parameter>& parameters);

}  // namespace ptrain::stage
