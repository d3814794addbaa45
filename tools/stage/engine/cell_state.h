// What a worker holds and computes of its stage, as the engine sees it: parameters, optimiser
// state, and the arithmetic of one step. Its lanes share all of it but the gradients, which each
// lane has for itself until they are summed. The engine knows neither tensors nor devices; what
// crosses a border leaves and enters here encoded, as bytes of a message.
//
// A step: begin_step(), then for each lane forward() and backward() once for every microbatch, each
// kind in microbatch order, and finish_gradients(); with more than one lane in the job the sum of
// gradients() over all of them, and gradients_summed(); ready(); apply(). An evaluation stands
// between two steps. The state after apply() is a function of the state before begin_step() and of
// what was handed in. One thread.
//
// Throws Error(corrupt) for a message that is not what this border carries.

#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "libcommon/base/units.h"
#include "libcommon/ckpt/checkpoint_reader.h"
#include "libcommon/ckpt/tensor.h"
#include "libcommon/wire/message.h"
#include "libcommon/wire/training.h"

namespace ptrain::stage {

// Encoded rows on their way to another stage.
struct Rows {
  wire::TensorInfo tensor;
  wire::Buffer payload;
};

// One microbatch of a step.
struct Work {
  Step step;
  LaneIndex lane;  // whose share it is of
  MicrobatchIndex microbatch;
};

// What a worker has to say when all its microbatches are back.
struct Readiness {
  std::vector<double> loss_sums;         // nats over the step's tokens, by lane; the last stage's
  std::vector<double> gradient_squares;  // one a parameter, in canonical order
};

// What a lane's microbatches added up to.
struct LaneGradient {
  LaneIndex lane;
  std::span<float> values;
};

// Reads a tensor by its name into memory of its size; throws Error(corrupt) where it cannot be had.
using TensorSource = std::function<void(const std::string& name, std::span<std::byte> into)>;

// Float32 on the host, in the order of a checkpoint's files; valid while `owner` lives and the
// state does not change.
struct StateTensors {
  std::vector<ckpt::TensorView> model;
  std::vector<ckpt::TensorView> optim;
  std::shared_ptr<const void> owner;
};

class CellState {
 public:
  CellState() = default;
  virtual ~CellState() = default;
  CellState(const CellState&) = delete;
  CellState& operator=(const CellState&) = delete;

  // The state that every run of the job begins with.
  virtual void initialise() = 0;
  // The state after `step`, from a checkpoint.
  virtual void load(const ckpt::CheckpointReader& checkpoint, Step step) = 0;
  // The same from the tensors of another worker's state(), float32 on the host.
  virtual void load(const TensorSource& source, Step step) = 0;
  virtual StateTensors state() = 0;
  // XXH3-64 of it, never 0: workers that hold the same state have the same.
  virtual std::uint64_t state_digest();

  virtual void begin_step(Step step) = 0;
  // `activation` is null at the first stage, and nothing comes out of the last one.
  virtual std::optional<Rows> forward(const Work& work, const wire::Message* activation) = 0;
  // `gradient` is null at the last stage, and nothing comes out of the first one.
  virtual std::optional<Rows> backward(const Work& work, const wire::Message* gradient) = 0;
  // Where an embedding is tied to a head that another stage holds, each sends the other its share
  // of the one gradient: finish_gradients() returns ours, add_tied_gradient() takes theirs.
  virtual std::optional<Rows> finish_gradients(LaneIndex lane) = 0;
  virtual void add_tied_gradient(LaneIndex lane, const wire::Message& theirs) = 0;
  // The gradients of the lanes that we hold, float32 on the host, in the order of the parameters;
  // the sum over all lanes is to be written into the first of them. They stay valid until
  // gradients_summed().
  virtual std::vector<LaneGradient> gradients() = 0;
  virtual void gradients_summed() = 0;
  virtual Readiness ready() = 0;
  // One update of the optimiser. `clip_factor` multiplies the gradients.
  virtual void apply(double learning_rate, double clip_factor) = 0;

  // One batch of an evaluation; what the last stage found since begin_evaluation().
  virtual void begin_evaluation() = 0;
  virtual std::optional<Rows> evaluate(std::uint32_t batch, const wire::Message* activation) = 0;
  virtual wire::EvalReport evaluated() = 0;
};

}  // namespace ptrain::stage
