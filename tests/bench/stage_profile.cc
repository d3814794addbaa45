// What a training step of one whole model spends its time on, and how fast: the arithmetic of
// StageModel and AdamW alone, without data, sockets or checkpoints.
//
//   bench_stage_profile --precision fp32|bf16 [--threads N] [--micro N] [--steps N] [--profile]
//
// Prints one JSON object: tokens per second (median step), peak memory and its bound, and with
// --profile the milliseconds a step of each kind of operation. The model is that of
// train_throughput.

#include <algorithm>
#include <chrono>
#include <cmath>
#include <iostream>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include <ATen/Parallel.h>
#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>
#include <sys/resource.h>

#include "tools/stage/model/blas_environment.h"
#include "tools/stage/model/ops.h"
#include "tools/stage/model/stage_model.h"
#include "tools/stage/optim/adamw.h"
#include "tools/stage/optim/gradient_norm.h"

namespace ptrain::stage {
namespace {

using Clock = std::chrono::steady_clock;

double milliseconds_since(Clock::time_point start) {
  return std::chrono::duration<double, std::milli>(Clock::now() - start).count();
}

// Passes everything on and adds up the time of each operation.
class TimedOps final : public Ops {
 public:
  TimedOps(std::unique_ptr<Ops> ops, std::map<std::string, double>& totals)
      : ops_(std::move(ops)), totals_(totals) {}

  at::TensorOptions compute() const override { return ops_->compute(); }
  at::TensorOptions master() const override { return ops_->master(); }
  void linear(const at::Tensor& x, const at::Tensor& w, const at::Tensor& residual,
              at::Tensor y) override {
    timed("matmul_forward", [&] { ops_->linear(x, w, residual, y); });
  }
  void logits(const at::Tensor& x, const at::Tensor& w, at::Tensor y) override {
    timed("matmul_logits", [&] { ops_->logits(x, w, y); });
  }
  void linear_input_gradient(const at::Tensor& dy, const at::Tensor& w, at::Tensor dx) override {
    timed("matmul_input_gradient", [&] { ops_->linear_input_gradient(dy, w, dx); });
  }
  void linear_weight_gradient(const at::Tensor& dy, const at::Tensor& x, at::Tensor dw) override {
    timed("matmul_weight_gradient", [&] { ops_->linear_weight_gradient(dy, x, dw); });
  }
  void rms_norm(const at::Tensor& x, const at::Tensor& w, double eps, at::Tensor y) override {
    timed("norm", [&] { ops_->rms_norm(x, w, eps, y); });
  }
  void rms_norm_backward(const at::Tensor& dy, const at::Tensor& x, const at::Tensor& w, double eps,
                         const at::Tensor& residual, at::Tensor dx, at::Tensor dw) override {
    timed("norm_backward", [&] { ops_->rms_norm_backward(dy, x, w, eps, residual, dx, dw); });
  }
  void rope(at::Tensor qkv, const RopeTable& table, const AttentionShape& shape,
            Rotation rotation) override {
    timed("rope", [&] { ops_->rope(qkv, table, shape, rotation); });
  }
  void attention(const at::Tensor& qkv, const AttentionShape& shape, at::Tensor out,
                 at::Tensor log_sum_exp) override {
    timed("attention", [&] { ops_->attention(qkv, shape, out, log_sum_exp); });
  }
  void attention_backward(const at::Tensor& d_out, const at::Tensor& qkv, const at::Tensor& out,
                          const at::Tensor& log_sum_exp, const AttentionShape& shape,
                          at::Tensor d_qkv) override {
    timed("attention_backward",
          [&] { ops_->attention_backward(d_out, qkv, out, log_sum_exp, shape, d_qkv); });
  }
  void swiglu(const at::Tensor& gate_up, at::Tensor out) override {
    timed("swiglu", [&] { ops_->swiglu(gate_up, out); });
  }
  void swiglu_backward(const at::Tensor& gate_up, at::Tensor product,
                       at::Tensor d_gate_up) override {
    timed("swiglu_backward", [&] { ops_->swiglu_backward(gate_up, product, d_gate_up); });
  }
  void embedding(const at::Tensor& tokens, const at::Tensor& table, at::Tensor out) override {
    timed("embedding", [&] { ops_->embedding(tokens, table, out); });
  }
  void embedding_backward(const at::Tensor& tokens, const at::Tensor& d_out,
                          at::Tensor d_table) override {
    timed("embedding", [&] { ops_->embedding_backward(tokens, d_out, d_table); });
  }
  double cross_entropy(at::Tensor logits, const at::Tensor& targets, double scale,
                       at::Tensor d_logits) override {
    double loss = 0.0;
    timed("cross_entropy", [&] { loss = ops_->cross_entropy(logits, targets, scale, d_logits); });
    return loss;
  }
  void to_compute(const at::Tensor& value, at::Tensor compute) override {
    ops_->to_compute(value, compute);
  }
  std::int64_t scratch_bytes(const AttentionShape& shape) const override {
    return ops_->scratch_bytes(shape);
  }

 private:
  template <class Work>
  void timed(const char* name, const Work& work) {
    const auto start = Clock::now();
    work();
    totals_[name] += milliseconds_since(start);
  }

  std::unique_ptr<Ops> ops_;
  std::map<std::string, double>& totals_;
};

struct Options {
  std::string precision = "fp32";
  int threads = 1;
  std::int64_t micro = 8;
  int steps = 10;
  bool profile = false;
};

constexpr std::int64_t kBatch = 8;
constexpr std::int64_t kTokens = 256;
constexpr int kWarmUpSteps = 2;

// A stage may take 1.15 times its training state, the activations in flight, and 400 MB for
// libtorch and everything else.
double memory_bound(StageModel& model, std::uint32_t in_flight) {
  const bool narrow = model.options().precision == job::ComputePrecision::bfloat16;
  double parameters = 0.0;
  for (const Parameter& p : model.parameters()) parameters += double(p.value.numel());
  return 1.15 * (parameters * (narrow ? 18.0 : 16.0) +
                 double(model.activation_bytes(in_flight).value()) + 400e6);
}

job::ModelConfig benchmark_model() {
  return {.vocab_size = 4096,
          .hidden_size = 256,
          .intermediate_size = 688,
          .num_hidden_layers = 8,
          .num_attention_heads = 4,
          .num_key_value_heads = 4,
          .head_dim = 64,
          .max_position_embeddings = kTokens};
}

nlohmann::json run(const Options& options) {
  at::set_num_threads(options.threads);
  const auto precision = options.precision == "bf16" ? job::ComputePrecision::bfloat16
                                                     : job::ComputePrecision::float32;
  std::map<std::string, double> totals;
  std::unique_ptr<Ops> ops = make_ops(at::kCPU, precision);
  if (options.profile) ops = std::make_unique<TimedOps>(std::move(ops), totals);
  const job::ModelConfig config = benchmark_model();
  StageModel model(config, {0, config.num_hidden_layers, true, true},
                   {.precision = precision,
                    .micro_batch = options.micro,
                    .seq_len = kTokens,
                    .loss_scale = 1.0 / (kBatch * kTokens)},
                   std::move(ops));
  model.initialise(1);
  AdamW optimiser({}, model.parameters());
  const at::Tensor tokens = at::randint(config.vocab_size, {kBatch, kTokens}, at::kInt);
  const at::Tensor targets = at::randint(config.vocab_size, {kBatch, kTokens}, at::kInt);

  std::vector<double> step_ms;
  double loss = 0.0;
  for (int step = -kWarmUpSteps; step < options.steps; ++step) {
    if (step == 0) totals.clear();
    const auto start = Clock::now();
    model.zero_gradients();
    loss = 0.0;
    for (std::int64_t first = 0; first < kBatch; first += options.micro) {
      loss += model.forward_loss(0, tokens.narrow(0, first, options.micro),
                                 targets.narrow(0, first, options.micro));
      model.backward(0, {});
    }
    model.finish_gradients();
    const auto update = Clock::now();
    double squares = 0.0;
    for (const double square : gradient_squares(model.parameters())) squares += square;
    optimiser.step(model.parameters(), 1e-3, std::min(1.0, 1.0 / std::sqrt(squares)));
    totals["optimiser"] += milliseconds_since(update);
    if (step >= 0) step_ms.push_back(milliseconds_since(start));
  }
  std::sort(step_ms.begin(), step_ms.end());
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  const double median = step_ms[step_ms.size() / 2];
  nlohmann::json result = {{"precision", options.precision},
                           {"threads", options.threads},
                           {"tokens_per_s", kBatch * kTokens / median * 1e3},
                           {"tokens_per_s_best", kBatch * kTokens / step_ms.front() * 1e3},
                           {"loss", loss / (kBatch * kTokens)},
                           {"rss_peak_bytes", usage.ru_maxrss * 1024},
                           {"rss_bound_bytes", memory_bound(model, 1)}};
  if (options.profile) {
    for (auto& [name, total] : totals) result["step_ms"][name] = total / options.steps;
    result["step_ms"]["all"] = median;
  }
  return result;
}

}  // namespace
}  // namespace ptrain::stage

int main(int argc, char** argv) {
  ptrain::stage::prepare_blas_environment(argv);
  ptrain::stage::Options options;
  CLI::App app("Training steps of one process, timed");
  app.add_option("--precision", options.precision)->check(CLI::IsMember({"fp32", "bf16"}));
  app.add_option("--threads", options.threads);
  app.add_option("--micro", options.micro, "sequences a microbatch; divides 8");
  app.add_option("--steps", options.steps);
  app.add_flag("--profile", options.profile);
  CLI11_PARSE(app, argc, argv);
  std::cout << run(options).dump() << "\n";
  return 0;
}
