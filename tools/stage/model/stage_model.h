// The blocks that one pipeline stage holds: a slice of a Llama-family decoder with its
// hand-written forward and backward (there is no autograd). A block is the attention or the MLP
// part of a layer.
//
// A stage sees microbatches of b sequences of t tokens. Between stages travels the
// residual stream, [b, t, d] in the compute dtype, and backwards its gradient in the same
// dtype. Both are rounded to that dtype at every block's border, whether or not a stage
// ends there, so the cut of a job changes no bit of its results.
//
// Ownership: the stage owns parameters, gradients and activations. Activations are kept in
// slots numbered from 0; a slot is taken by forward and given back by backward, and its
// buffers are reused. Tensors handed in must stay unchanged until that slot's backward;
// tensors handed out are valid until the slot's next forward or backward. On the CPU all
// buffers are allocated once, on the first microbatch of a slot or of a shape; keep_slots() frees
// those of slots that are not needed any more.
// Threads: one thread at a time; the kernels use OpenMP's threads inside. Results depend
// neither on the cut nor on recomputation; they are reproducible for a given thread count.
// Failure: Error{internal} on a shape, dtype or slot that breaks this contract.

#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include <ATen/ATen.h>

#include "libcommon/base/units.h"
#include "libcommon/job/job.h"
#include "libcommon/job/model_config.h"
#include "libcommon/plan/block_kind.h"
#include "tools/stage/model/parameter.h"

namespace ptrain::stage {

class Ops;

// What happens to the residual stream where it crosses a border inside the stage, and to its
// gradient on the way back: in place, [n, d] in the compute dtype.
struct InnerBorders {
  std::vector<std::int64_t> before_blocks;  // of the model
  std::function<void(const at::Tensor&)> forward;
  std::function<void(const at::Tensor&)> backward;
};

enum class Phase : std::uint8_t { forward, input_gradient, weight_gradient };
inline constexpr std::size_t kPhases = 3;

struct ModelOptions {
  job::ComputePrecision precision = job::ComputePrecision::float32;
  job::Recompute recompute = job::Recompute::none;
  at::Device device = at::kCPU;
  std::int64_t micro_batch = 1;
  std::int64_t seq_len = 1;
  double loss_scale = 1.0;  // 1 / tokens of the global batch: gradients are of the mean loss
  std::size_t lanes = 1;    // each with gradients of its own
  InnerBorders borders{};   // none: nothing happens
  // After each part of a microbatch's arithmetic, for those who time them: what is computed again
  // belongs to the input's gradient. The head has a forward alone, because it does all at once; the
  // embedding has no input's gradient.
  std::function<void(plan::BlockKind, Phase)> after_part{};
};

class StageModel {
 public:
  StageModel(const job::ModelConfig& config, const job::StageSpan& span,
             const ModelOptions& options);
  // With chosen arithmetic; `ops` must serve options.device.
  StageModel(const job::ModelConfig& config, const job::StageSpan& span,
             const ModelOptions& options, std::unique_ptr<Ops> ops);
  ~StageModel();
  StageModel(const StageModel&) = delete;
  StageModel& operator=(const StageModel&) = delete;

  const job::ModelConfig& config() const;
  const job::StageSpan& span() const;
  const ModelOptions& options() const;

  // Projections and embedding from N(0, initializer_range), norms one. Keyed by (seed,
  // parameter name): every cut of a job starts from the same weights.
  void initialise(std::uint64_t seed);

  // In the order of job::parameters(config, span).
  std::vector<Parameter>& parameters();

  // Brings `compute` up to date after `value` was written by hand (a loaded checkpoint).
  void refresh_compute();

  // Of all lanes.
  void zero_gradients();
  // Whose gradients `grad` of the parameters is, which are accumulated, finished and handed out
  // from now on; at first lane 0 of those that there are.
  void select_lane(std::size_t lane);
  // Of the selected lane, [n] float32, in the order of the parameters, with unused elements that
  // are 0 between some.
  at::Tensor flat_gradient() const;

  // After the last microbatch of a lane's step: with a tied head on a single stage adds the head's
  // share of the gradient to the embedding's. They are accumulated apart and added once,
  // as two stages do that exchange them. Otherwise does nothing.
  void finish_gradients();

  // One microbatch; keeps under `slot` what its backward needs. The first stage takes
  // tokens, int32 [b, t]; the others the residual stream [b, t, d]. Not for the last stage.
  at::Tensor forward(std::uint32_t slot, const at::Tensor& input);

  // The last stage's: the sum of the cross-entropy over the b * t targets (int32 [b, t]), in
  // nats. The gradients of the head are accumulated at once.
  double forward_loss(std::uint32_t slot, const at::Tensor& input, const at::Tensor& targets);

  // Accumulates the parameters' gradients; returns the gradient of the input (undefined on
  // the first stage). `grad_output` is undefined on the last stage.
  at::Tensor backward(std::uint32_t slot, const at::Tensor& grad_output);

  // Frees the buffers of the slots from `count` on, none of which is taken.
  void keep_slots(std::size_t count);
  std::size_t slots_held() const;  // that have buffers

  // Without keeping anything; any b and t up to max_position_embeddings.
  at::Tensor infer(const at::Tensor& input);                            // not the last stage
  double evaluate(const at::Tensor& input, const at::Tensor& targets);  // sum of nats
  at::Tensor logits(const at::Tensor& input);  // last stage: [b, t, vocab] float32

  // What `in_flight` microbatches under way will hold in activations and scratch buffers.
  ByteCount activation_bytes(std::uint32_t in_flight) const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace ptrain::stage
