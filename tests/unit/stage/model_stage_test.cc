// Whole stages: against an independent float64 autograd implementation, and against each
// other for every cut of the same model.

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "libcommon/base/error.h"
#include "tests/unit/stage/compute_devices.h"
#include "tests/unit/stage/model_reference.h"
#include "tools/stage/model/cpu_ops.h"
#include "tools/stage/model/generic_ops.h"
#include "tools/stage/model/stage_model.h"

namespace ptrain::stage {
namespace {

constexpr std::int64_t kBatch = 2;
constexpr std::int64_t kTokens = 71;  // neither a multiple of a vector nor of a block

job::ModelConfig small_model() {
  return {.vocab_size = 101,
          .hidden_size = 36,
          .intermediate_size = 52,
          .num_hidden_layers = 3,
          .num_attention_heads = 4,
          .num_key_value_heads = 2,
          .head_dim = 18,
          .max_position_embeddings = 128,
          .initializer_range = 0.2};
}

job::ModelConfig tied(job::ModelConfig config) {
  config.tie_word_embeddings = true;
  return config;
}

// Where and in which precision a test computes; on the CPU also how a processor does that has no
// bfloat16 instructions.
struct Arithmetic {
  at::Device device = at::kCPU;
  job::ComputePrecision precision = job::ComputePrecision::float32;
  bool without_instructions = false;
};

ModelOptions options_of(const Arithmetic& arithmetic,
                        job::Recompute recompute = job::Recompute::none) {
  return {.precision = arithmetic.precision,
          .recompute = recompute,
          .device = arithmetic.device,
          .micro_batch = kBatch,
          .seq_len = kTokens,
          .loss_scale = 1.0 / (kBatch * kTokens)};
}

struct Microbatch {
  at::Tensor tokens;
  at::Tensor targets;
};

std::vector<Microbatch> microbatches(const job::ModelConfig& config, int count,
                                     at::Device device = at::kCPU) {
  at::manual_seed(7);
  std::vector<Microbatch> list;
  for (int i = 0; i < count; ++i) {
    const at::Tensor text = at::randint(config.vocab_size, {kBatch, kTokens + 1}, at::kInt);
    list.push_back({text.narrow(1, 0, kTokens).contiguous().to(device),
                    text.narrow(1, 1, kTokens).contiguous().to(device)});
  }
  return list;
}

std::unique_ptr<StageModel> make_stage(const job::ModelConfig& config, const job::StageSpan& span,
                                       const Arithmetic& arithmetic,
                                       job::Recompute recompute = job::Recompute::none) {
  const ModelOptions options = options_of(arithmetic, recompute);
  if (!arithmetic.without_instructions) return std::make_unique<StageModel>(config, span, options);
  return std::make_unique<StageModel>(
      config, span, options, std::make_unique<CpuOps<kernels::Bf16>>(Bfloat16Products::float32));
}

// A whole model as stages of so many layers, or blocks, each, run in this process.
class Pipeline {
 public:
  Pipeline(const job::ModelConfig& config, std::vector<std::int64_t> layers,
           const Arithmetic& arithmetic, job::Recompute recompute = job::Recompute::none)
      : config_(config) {
    for (std::int64_t& count : layers) count *= job::kBlocksPerLayer;
    build(layers, arithmetic, recompute);
  }

  struct Blocks {
    std::vector<std::int64_t> each;
  };
  Pipeline(const job::ModelConfig& config, const Blocks& blocks, const Arithmetic& arithmetic,
           job::Recompute recompute = job::Recompute::none)
      : config_(config) {
    build(blocks.each, arithmetic, recompute);
  }

  // All forwards, then all backwards, each in order (GPipe). Returns the loss.
  double train(const std::vector<Microbatch>& batch) {
    double loss = 0.0;
    for (auto& stage : stages_) stage->zero_gradients();
    for (std::uint32_t i = 0; i < batch.size(); ++i) {
      at::Tensor x = batch[i].tokens;
      for (std::size_t s = 0; s + 1 < stages_.size(); ++s) x = stages_[s]->forward(i, x);
      loss += stages_.back()->forward_loss(i, x, batch[i].targets);
    }
    for (std::uint32_t i = 0; i < batch.size(); ++i) {
      at::Tensor gradient;
      for (std::size_t s = stages_.size(); s-- > 0;) gradient = stages_[s]->backward(i, gradient);
    }
    for (auto& stage : stages_) stage->finish_gradients();
    exchange_tied_gradient();
    return loss;
  }

  std::map<std::string, at::Tensor> gradients() const {
    std::map<std::string, at::Tensor> all;
    for (auto& stage : stages_) {
      for (const Parameter& p : stage->parameters()) all[p.spec.name] = p.grad;
    }
    return all;
  }

  StageModel& first() { return *stages_.front(); }

 private:
  void build(const std::vector<std::int64_t>& blocks, const Arithmetic& arithmetic,
             job::Recompute recompute) {
    std::int64_t begin = 0;
    for (std::size_t i = 0; i < blocks.size(); ++i) {
      job::StageSpan span = job::span_of_blocks(begin, begin + blocks[i]);
      span.embedding = i == 0;
      span.head = i + 1 == blocks.size();
      stages_.push_back(make_stage(config_, span, arithmetic, recompute));
      stages_.back()->initialise(3);
      begin += blocks[i];
    }
  }

  void exchange_tied_gradient() {
    if (!config_.tie_word_embeddings || stages_.size() == 1) return;
    at::Tensor head = stages_.back()->parameters().back().grad;
    at::Tensor embedding = stages_.front()->parameters().front().grad;
    embedding.add_(head);
    head.copy_(embedding);
  }

  job::ModelConfig config_;
  std::vector<std::unique_ptr<StageModel>> stages_;
};

double relative_error(const at::Tensor& actual, const at::Tensor& expected) {
  const at::Tensor difference = actual.to(at::kCPU, at::kDouble) - expected;
  return difference.norm().item<double>() / (expected.norm().item<double>() + 1e-12);
}

void expect_matches_autograd(const job::ModelConfig& config, const Arithmetic& arithmetic,
                             double loss_tolerance, double gradient_tolerance) {
  Pipeline whole(config, {config.num_hidden_layers}, arithmetic);
  const auto batch = microbatches(config, 2, arithmetic.device);
  const double loss = whole.train(batch);

  const reference::Weights weights = reference::leaves(whole.first().parameters());
  at::Tensor expected = at::zeros({}, at::kDouble);
  for (const Microbatch& m : batch) {
    expected =
        expected + reference::loss(m.tokens.to(at::kCPU), m.targets.to(at::kCPU), weights, config);
  }
  (expected / double(kBatch * kTokens)).backward();
  EXPECT_NEAR(loss / expected.item<double>(), 1.0, loss_tolerance);
  for (const auto& [name, gradient] : whole.gradients()) {
    EXPECT_LT(relative_error(gradient, weights.at(name).grad()), gradient_tolerance) << name;
  }
}

class EveryDevice : public ::testing::TestWithParam<at::Device> {};
INSTANTIATE_TEST_SUITE_P(StageModelTest, EveryDevice, ::testing::ValuesIn(compute_devices()),
                         [](const auto& of) { return device_name(of.param); });

TEST_P(EveryDevice, Float32AgreesWithFloat64Autograd) {
  expect_matches_autograd(small_model(), {GetParam()}, 1e-6, 1e-5);
}

TEST_P(EveryDevice, Float32WithATiedHeadAgreesWithFloat64Autograd) {
  expect_matches_autograd(tied(small_model()), {GetParam()}, 1e-6, 1e-5);
}

TEST_P(EveryDevice, WithoutGroupedQueriesItAgreesWithFloat64Autograd) {
  job::ModelConfig config = small_model();
  config.num_key_value_heads = config.num_attention_heads;
  expect_matches_autograd(config, {GetParam()}, 1e-6, 1e-5);
}

TEST_P(EveryDevice, Bfloat16StaysWithinItsRoundingOfFloat64Autograd) {
  // 8 significant bits, some ten roundings along a path of three layers.
  expect_matches_autograd(small_model(), {GetParam(), job::ComputePrecision::bfloat16}, 2e-3, 5e-2);
}

TEST(StageModelTest, Bfloat16WithoutInstructionsStaysWithinItsRoundingOfFloat64Autograd) {
  expect_matches_autograd(small_model(), {at::kCPU, job::ComputePrecision::bfloat16, true}, 2e-3,
                          5e-2);
}

TEST(StageModelTest, GenericArithmeticInFloat64AgreesWithAutogradTo1em10) {
  const job::ModelConfig config = tied(small_model());
  StageModel model(config, {0, config.num_hidden_layers, true, true}, options_of({}),
                   std::make_unique<GenericOps>(at::kCPU, at::kDouble, at::kDouble));
  model.initialise(3);
  const Microbatch m = microbatches(config, 1)[0];
  const double loss = model.forward_loss(0, m.tokens, m.targets);
  model.backward(0, {});
  model.finish_gradients();

  const reference::Weights weights = reference::leaves(model.parameters());
  const at::Tensor expected = reference::loss(m.tokens, m.targets, weights, config);
  (expected / double(kBatch * kTokens)).backward();
  EXPECT_NEAR(loss / expected.item<double>(), 1.0, 1e-12);
  for (const Parameter& p : model.parameters()) {
    EXPECT_LT(relative_error(p.grad, weights.at(p.spec.name).grad()), 1e-10) << p.spec.name;
  }
}

void expect_same_bits(const std::map<std::string, at::Tensor>& a,
                      const std::map<std::string, at::Tensor>& b) {
  ASSERT_EQ(a.size(), b.size());
  for (const auto& [name, tensor] : a) EXPECT_TRUE(tensor.equal(b.at(name))) << name;
}

std::vector<Arithmetic> every_arithmetic() {
  std::vector<Arithmetic> all;
  for (const at::Device device : compute_devices()) {
    all.push_back({device, job::ComputePrecision::float32});
    all.push_back({device, job::ComputePrecision::bfloat16});
  }
  all.push_back({at::kCPU, job::ComputePrecision::bfloat16, true});
  return all;
}

class EveryArithmetic : public ::testing::TestWithParam<Arithmetic> {};
INSTANTIATE_TEST_SUITE_P(StageModelTest, EveryArithmetic, ::testing::ValuesIn(every_arithmetic()),
                         [](const auto& of) {
                           const bool wide = of.param.precision == job::ComputePrecision::float32;
                           return device_name(of.param.device) + (wide ? "Float32" : "Bfloat16") +
                                  (of.param.without_instructions ? "WithoutInstructions" : "");
                         });

TEST_P(EveryArithmetic, CutsInto1And2And3StagesGiveTheSameBits) {
  for (const job::ModelConfig& config : {small_model(), tied(small_model())}) {
    const auto batch = microbatches(config, 3, GetParam().device);
    Pipeline whole(config, {3}, GetParam());
    const double loss = whole.train(batch);
    for (const std::vector<std::int64_t>& cut :
         {std::vector<std::int64_t>{1, 2}, {2, 1}, {1, 1, 1}, {0, 3}, {3, 0}}) {
      Pipeline parts(config, cut, GetParam());
      EXPECT_EQ(parts.train(batch), loss);
      expect_same_bits(whole.gradients(), parts.gradients());
    }
  }
}

TEST_P(EveryArithmetic, CutsInsideLayersGiveTheSameBits) {
  for (const job::ModelConfig& config : {small_model(), tied(small_model())}) {
    const auto batch = microbatches(config, 3, GetParam().device);
    Pipeline whole(config, {3}, GetParam());
    const double loss = whole.train(batch);
    for (const Pipeline::Blocks& cut :
         {Pipeline::Blocks{{3, 3}}, {{1, 4, 1}}, {{2, 3, 1}}, {{1, 1, 1, 1, 1, 1}}}) {
      Pipeline parts(config, cut, GetParam());
      EXPECT_EQ(parts.train(batch), loss);
      expect_same_bits(whole.gradients(), parts.gradients());
    }
  }
}

TEST_P(EveryArithmetic, RecomputationOfCutLayersChangesNoBit) {
  const auto batch = microbatches(small_model(), 2, GetParam().device);
  Pipeline whole(small_model(), {3}, GetParam());
  const double loss = whole.train(batch);
  for (const Pipeline::Blocks& cut : {Pipeline::Blocks{{3, 3}}, {{1, 4, 1}}}) {
    Pipeline again(small_model(), cut, GetParam(), job::Recompute::layer);
    EXPECT_EQ(again.train(batch), loss);
    expect_same_bits(whole.gradients(), again.gradients());
  }
}

TEST_P(EveryArithmetic, RecomputationChangesNoBit) {
  const auto batch = microbatches(small_model(), 2, GetParam().device);
  Pipeline kept(small_model(), {1, 2}, GetParam());
  Pipeline again(small_model(), {1, 2}, GetParam(), job::Recompute::layer);
  EXPECT_EQ(kept.train(batch), again.train(batch));
  expect_same_bits(kept.gradients(), again.gradients());
}

TEST_P(EveryArithmetic, ASecondRunGivesTheSameBits) {
  const auto batch = microbatches(small_model(), 2, GetParam().device);
  Pipeline one(small_model(), {3}, GetParam());
  Pipeline two(small_model(), {3}, GetParam());
  EXPECT_EQ(one.train(batch), two.train(batch));
  expect_same_bits(one.gradients(), two.gradients());
}

TEST_P(EveryArithmetic, EvaluationBetweenForwardAndBackwardChangesNoBit) {
  const job::ModelConfig config = small_model();
  const Microbatch m = microbatches(config, 1, GetParam().device)[0];
  Pipeline plain(config, {3}, GetParam());
  plain.train({m});
  const auto stage = make_stage(config, {0, 3, true, true}, GetParam());
  StageModel& model = *stage;
  model.initialise(3);
  const double loss = model.forward_loss(0, m.tokens, m.targets);
  EXPECT_EQ(model.evaluate(m.tokens, m.targets), loss);
  model.evaluate(m.tokens.narrow(0, 0, 1), m.targets.narrow(0, 0, 1).contiguous());
  model.backward(0, {});
  std::map<std::string, at::Tensor> gradients;
  for (const Parameter& p : model.parameters()) gradients[p.spec.name] = p.grad;
  expect_same_bits(plain.gradients(), gradients);
}

TEST_P(EveryArithmetic, StagesInFlightKeepTheirActivationsApart) {
  const job::ModelConfig config = small_model();
  const auto batch = microbatches(config, 2, GetParam().device);
  Pipeline together(config, {3}, GetParam());
  together.train(batch);
  Pipeline apart(config, {3}, GetParam());
  apart.train({batch[0]});
  StageModel& model = apart.first();
  model.forward_loss(5, batch[1].tokens, batch[1].targets);
  model.backward(5, {});
  expect_same_bits(together.gradients(), apart.gradients());
}

TEST(StageModelTest, SlotsThatAreNotNeededAreFreed) {
  const job::ModelConfig config = small_model();
  StageModel model(config, {0, 3, true, true}, options_of({}));
  model.initialise(3);
  const Microbatch m = microbatches(config, 1)[0];
  for (std::uint32_t slot = 0; slot < 3; ++slot) model.forward_loss(slot, m.tokens, m.targets);
  EXPECT_EQ(model.slots_held(), 3u);
  EXPECT_THROW(model.keep_slots(2), Error) << "the last of them is taken";
  for (std::uint32_t slot = 0; slot < 3; ++slot) model.backward(slot, {});
  model.keep_slots(3);
  EXPECT_EQ(model.slots_held(), 3u);
  model.keep_slots(1);
  EXPECT_EQ(model.slots_held(), 1u);
  model.forward_loss(2, m.tokens, m.targets);
  EXPECT_EQ(model.slots_held(), 2u);
  EXPECT_NO_THROW(model.backward(2, {}));
}

TEST(StageModelTest, LogitsBelongToTheEvaluatedLoss) {
  const job::ModelConfig config = small_model();
  StageModel model(config, {0, 3, true, true}, options_of({}));
  model.initialise(3);
  const Microbatch m = microbatches(config, 1)[0];
  const at::Tensor logits = model.logits(m.tokens).view({-1, config.vocab_size});
  const double expected = -logits.to(at::kDouble)
                               .log_softmax(-1)
                               .gather(1, m.targets.view({-1, 1}).to(at::kLong))
                               .sum()
                               .item<double>();
  EXPECT_NEAR(model.evaluate(m.tokens, m.targets), expected, 1e-4);
}

TEST(StageModelTest, ATokenOutsideTheVocabularyIsRefusedWithItsPosition) {
  const job::ModelConfig config = small_model();
  StageModel model(config, {0, 3, true, true}, options_of({}));
  Microbatch m = microbatches(config, 1)[0];
  m.tokens[0][4] = static_cast<int>(config.vocab_size);
  try {
    model.evaluate(m.tokens, m.targets);
    FAIL() << "accepted";
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::corrupt);
    EXPECT_NE(std::string(error.what()).find("token 101 at position 4"), std::string::npos)
        << error.what();
  }
  m.tokens[0][4] = static_cast<int>(config.vocab_size - 1);
  EXPECT_NO_THROW(model.evaluate(m.tokens, m.targets));
}

TEST(StageModelTest, BrokenContractsAreRefused) {
  const job::ModelConfig config = small_model();
  StageModel first(config, {0, 1, true, false}, options_of({}));
  first.initialise(3);
  const Microbatch m = microbatches(config, 1)[0];
  EXPECT_THROW(first.backward(0, {}), Error);
  EXPECT_THROW(first.forward(0, m.tokens.narrow(0, 0, 1)), Error);
  EXPECT_THROW(first.forward(0, m.tokens.to(at::kLong)), Error);
  EXPECT_THROW(first.forward_loss(0, m.tokens, m.targets), Error);
  first.forward(0, m.tokens);
  EXPECT_THROW(first.forward(0, m.tokens), Error);
}

TEST(StageModelTest, PredictedActivationBytesGrowByOneSlotForEachMicrobatchInFlight) {
  const job::ModelConfig config = small_model();
  const auto bytes = [&](job::Recompute recompute, std::uint32_t in_flight) {
    StageModel model(config, {0, 3, true, true}, options_of({}, recompute));
    return model.activation_bytes(in_flight).value();
  };
  const std::uint64_t rows = kBatch * kTokens;
  // Of the blocks six inputs, the last one's output, and a gradient; in each layer q, k, v, the
  // mix, gate and up, and the log-sum-exp of four heads. Without the inputs inside layers it is
  // three.
  const std::uint64_t floats = 8 * 36 + 3 * (8 * 18 + 4 * 18 + 2 * 52 + 4);
  EXPECT_EQ(bytes(job::Recompute::none, 3) - bytes(job::Recompute::none, 2), rows * floats * 4);
  EXPECT_EQ(bytes(job::Recompute::layer, 3) - bytes(job::Recompute::layer, 2), rows * 5 * 36 * 4);
}

}  // namespace
}  // namespace ptrain::stage
