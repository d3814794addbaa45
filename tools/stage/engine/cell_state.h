// What a stage holds and computes, as the engine sees it: parameters, optimiser state, and the
// arithmetic of one step. The engine knows neither tensors nor devices; what crosses a border
// leaves and enters here encoded, as bytes of a message.
//
// A step: begin_step(), then forward() and backward() once for every microbatch, each kind in
// microbatch order and at most microbatches_held() of them between the two; finish_gradients();
// ready(); apply(). An evaluation stands between two steps. The state after apply() is a function
// of the state before begin_step() and of what was handed in. One thread.
//
// Throws Error(corrupt) for a message that is not what this border carries.

#pragma once

#include <cstdint>
#include <memory>
#include <optional>
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

// What a stage has to say when all its microbatches are back.
struct Readiness {
  double loss_sum = 0;                   // nats over the step's tokens; the last stage's
  std::vector<double> gradient_squares;  // one a parameter, in canonical order
};

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
  virtual StateTensors state() = 0;

  virtual void begin_step(Step step) = 0;
  // `activation` is null at the first stage, and nothing comes out of the last one.
  virtual std::optional<Rows> forward(Step step, MicrobatchIndex microbatch,
                                      const wire::Message* activation) = 0;
  // `gradient` is null at the last stage, and nothing comes out of the first one.
  virtual std::optional<Rows> backward(Step step, MicrobatchIndex microbatch,
                                       const wire::Message* gradient) = 0;
  // Where an embedding is tied to a head that another stage holds, each sends the other its share
  // of the one gradient: finish_gradients() returns ours, add_tied_gradient() takes theirs.
  virtual std::optional<Rows> finish_gradients() = 0;
  virtual void add_tied_gradient(const wire::Message& theirs) = 0;
  virtual Readiness ready() = 0;
  // One update of the optimiser. `clip_factor` multiplies the gradients.
  virtual void apply(double learning_rate, double clip_factor) = 0;

  // One batch of an evaluation; what the last stage found since begin_evaluation().
  virtual void begin_evaluation() = 0;
  virtual std::optional<Rows> evaluate(std::uint32_t batch, const wire::Message* activation) = 0;
  virtual wire::EvalReport evaluated() = 0;
};

}  // namespace ptrain::stage
