#include "tools/stage/bench/block_bench.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <memory>
#include <utility>
#include <vector>

#include "libcommon/base/clock.h"
#include "libcommon/base/median.h"
#include "tools/stage/bench/device_clock.h"
#include "tools/stage/cell/token_batch.h"
#include "tools/stage/model/activations.h"
#include "tools/stage/model/stage_model.h"
#include "tools/stage/optim/gradient_norm.h"
#include "tools/stage/optim/optimiser.h"

namespace ptrain::stage {
namespace {

using plan::BlockKind;

constexpr std::size_t kWarmUps = 1;
constexpr std::size_t kLeastLaps = 3;
constexpr std::uint64_t kSeed = 1;
constexpr double kLearningRate = 1e-3;
const job::StageSpan kWhole{.layer_begin = 0, .layer_end = 1, .embedding = true, .head = true};

// What a slot holds of blocks of these kinds, without a model's memory.
class KeptBytes {
 public:
  KeptBytes(const job::ModelConfig& config, const ModelOptions& options)
      : shape_{.layer = LayerShape(config, options.micro_batch, options.seq_len),
               .span = {},
               .vocab = config.vocab_size,
               .logits_rows = 0,
               .compute = at::TensorOptions(at::kMeta).dtype(
                   options.precision == job::ComputePrecision::bfloat16 ? at::kBFloat16
                                                                        : at::kFloat),
               .master = at::TensorOptions(at::kMeta).dtype(at::kFloat)},
        recompute_(options.recompute) {}

  // What a stage keeps besides, whatever its blocks are, is not a block's.
  std::uint64_t of(BlockKind kind) const {
    const std::int64_t none = slot_bytes(0);
    if (kind == BlockKind::attention) return static_cast<std::uint64_t>(slot_bytes(1) - none);
    if (kind == BlockKind::mlp) return static_cast<std::uint64_t>(slot_bytes(2) - slot_bytes(1));
    if (kind == BlockKind::head) return 0;
    return static_cast<std::uint64_t>(shape_.layer.rows()) * sizeof(std::int32_t);
  }
  std::uint64_t deferred(BlockKind kind) const {
    if (kind == BlockKind::attention) {
      const AttentionGradients gradients(shape_.layer, shape_.compute);
      return gradients.d_attention_output.nbytes() + gradients.d_query_key_value.nbytes();
    }
    if (kind != BlockKind::mlp) return 0;
    const MlpGradients gradients(shape_.layer, shape_.compute);
    return gradients.product.nbytes() + gradients.d_gate_up.nbytes();
  }

 private:
  std::int64_t slot_bytes(std::int64_t blocks) const {
    StageShape shape = shape_;
    shape.span = job::span_of_blocks(0, blocks);
    return Slot(shape, recompute_).bytes();
  }

  StageShape shape_;
  job::Recompute recompute_;
};

class Bench {
 public:
  Bench(const job::Job& job, std::int64_t micro, at::Device device)
      : clock_(device), config_(one_layer(job.model)), options_(options_of(job, micro, device)) {
    ModelOptions timed = options_;
    timed.after_part = [this](BlockKind kind, Phase phase) {
      samples_[plan::index_of(kind)][static_cast<std::size_t>(phase)].push_back(clock_.lap_s());
    };
    model_ = std::make_unique<StageModel>(config_, kWhole, timed);
    model_->initialise(kSeed);
    input_ = tokens_from(0, {micro, options_.seq_len}, config_.vocab_size, device);
    targets_ = tokens_from(1, {micro, options_.seq_len}, config_.vocab_size, device);
    for (const Parameter& parameter : model_->parameters()) {
      of_kind_[plan::index_of(plan::kind_of(parameter.spec))].push_back(parameter);
    }
    for (std::size_t kind = 0; kind < plan::kBlockKinds; ++kind) {
      optimisers_[kind] = make_optimiser(job, of_kind_[kind]);
    }
  }

  void lap() {
    clock_.lap_s();
    model_->forward_loss(0, input_, targets_);
    clock_.lap_s();
    model_->backward(0, {});
    model_->finish_gradients();
    for (std::size_t kind = 0; kind < plan::kBlockKinds; ++kind) {
      clock_.lap_s();
      update(kind);
      updates_[kind].push_back(clock_.lap_s());
    }
  }

  void forget() {
    samples_ = {};
    updates_ = {};
  }

  BlockBench result() const {
    const KeptBytes kept(config_, options_);
    BlockBench bench;
    double held = 0;
    for (std::size_t kind = 0; kind < plan::kBlockKinds; ++kind) {
      const auto of = static_cast<BlockKind>(kind);
      const auto seconds = [&](Phase phase) {
        return median(samples_[kind][static_cast<std::size_t>(phase)]);
      };
      bench.blocks[kind] = {.forward_s = seconds(Phase::forward),
                            .input_s = seconds(Phase::input_gradient),
                            .weight_s = seconds(Phase::weight_gradient),
                            .update_s = median(updates_[kind]),
                            .kept_bytes = kept.of(of),
                            .deferred_bytes = kept.deferred(of)};
      held += static_cast<double>(bench.blocks[kind].kept_bytes);
      for (const Parameter& parameter : of_kind_[kind]) held += state_bytes(parameter);
    }
    bench.held = ByteCount(static_cast<std::uint64_t>(held));
    bench.laps = updates_[0].size();
    return bench;
  }

 private:
  static job::ModelConfig one_layer(job::ModelConfig config) {
    config.num_hidden_layers = 1;
    return config;
  }
  static ModelOptions options_of(const job::Job& job, std::int64_t micro, at::Device device) {
    return {.precision = job.precision,
            .recompute = job.train.recompute,
            .device = device,
            .micro_batch = micro,
            .seq_len = job.data.seq_len,
            .loss_scale = 1.0 / static_cast<double>(job.tokens_per_step()),
            .lanes = 1};
  }

  // Value, gradient, two moments, and what the products read where that is another.
  static double state_bytes(const Parameter& parameter) {
    double bytes = 4.0 * static_cast<double>(parameter.value.nbytes());
    if (!parameter.compute.is_same(parameter.value)) {
      bytes += static_cast<double>(parameter.compute.nbytes());
    }
    return bytes;
  }

  // What a step does to a parameter besides: its gradient's square, and zeros for the next step.
  void update(std::size_t kind) {
    double squares = 0;
    for (const double square : gradient_squares(of_kind_[kind])) squares += square;
    const double clip = std::min(1.0, 1.0 / std::max(1e-12, std::sqrt(squares)));
    optimisers_[kind]->step(of_kind_[kind], kLearningRate, clip);
    for (Parameter& parameter : of_kind_[kind]) parameter.grad.zero_();
  }

  using Samples = std::vector<double>;  // seconds

  DeviceClock clock_;
  job::ModelConfig config_;
  ModelOptions options_;
  std::unique_ptr<StageModel> model_;
  at::Tensor input_;
  at::Tensor targets_;
  plan::PerKind<std::vector<Parameter>> of_kind_;
  plan::PerKind<std::unique_ptr<Optimiser>> optimisers_;
  plan::PerKind<std::array<Samples, kPhases>> samples_;
  plan::PerKind<Samples> updates_;
};

}  // namespace

BlockBench bench_blocks(const job::Job& job, std::int64_t micro, at::Device device,
                        Duration budget) {
  Bench bench(job, micro, device);
  for (std::size_t i = 0; i < kWarmUps; ++i) bench.lap();
  bench.forget();
  const SteadyClock clock;
  const TimePoint begin = clock.now();
  for (std::size_t laps = 0; laps < kLeastLaps || clock.now() - begin < budget; ++laps) bench.lap();
  return bench.result();
}

}  // namespace ptrain::stage
