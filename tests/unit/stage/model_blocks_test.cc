// The two parts of a block's backward, apart.

#include <cstdint>
#include <memory>
#include <vector>

#include <gtest/gtest.h>

#include "tools/stage/model/attention_block.h"
#include "tools/stage/model/mlp_block.h"
#include "tools/stage/model/ops.h"
#include "tools/stage/model/parameter_store.h"
#include "tools/stage/model/rope_table.h"

namespace ptrain::stage {
namespace {

constexpr std::int64_t kSequence = 37;
constexpr int kMicrobatches = 3;

const job::ModelConfig kOneLayer{.vocab_size = 11,
                                 .hidden_size = 24,
                                 .intermediate_size = 40,
                                 .num_hidden_layers = 1,
                                 .num_attention_heads = 2,
                                 .num_key_value_heads = 1,
                                 .head_dim = 12,
                                 .max_position_embeddings = 64};

// One layer of random weights, and microbatches through it; all with the same numbers.
class OneLayer {
 public:
  explicit OneLayer(job::ComputePrecision precision)
      : ops_(make_ops(at::kCPU, precision)),
        shape_(kOneLayer, 1, kSequence),
        rope_(make_rope_table(kOneLayer, kSequence, ops_->master())),
        store_(job::parameters(kOneLayer, {0, 1, false, false}), *ops_, 1),
        attention_(store_, 0),
        mlp_(store_, AttentionWeights::kParameters),
        scratch_(shape_, ops_->compute()) {
    at::manual_seed(11);
    for (Parameter& parameter : store_.parameters()) {
      parameter.value.copy_(at::randn(parameter.value.sizes()).mul_(0.2));
    }
    store_.refresh_compute(*ops_);
    for (int i = 0; i < kMicrobatches; ++i) batch_.push_back(std::make_unique<Microbatch>(*this));
  }

  // Forward, and all of the backward, of one microbatch after the other.
  void at_once() {
    for (auto& m : batch_) {
      forward(*m);
      mlp(*m).input_gradient(m->between, m->dy, m->d_between);
      mlp(*m).weight_gradient(m->between, m->dy);
      attention(*m).input_gradient(m->x, m->d_between, m->dx);
      attention(*m).weight_gradient(m->x, m->d_between);
    }
  }

  // All input gradients before the first weight gradient.
  void deferred() {
    for (auto& m : batch_) {
      forward(*m);
      mlp(*m).input_gradient(m->between, m->dy, m->d_between);
      attention(*m).input_gradient(m->x, m->d_between, m->dx);
    }
    for (auto& m : batch_) {
      attention(*m).weight_gradient(m->x, m->d_between);
      mlp(*m).weight_gradient(m->between, m->dy);
    }
  }

  std::vector<at::Tensor> gradients() {
    std::vector<at::Tensor> all;
    for (const Parameter& parameter : store_.parameters()) all.push_back(parameter.grad);
    for (const auto& m : batch_) all.push_back(m->dx);
    return all;
  }

 private:
  struct Microbatch {
    at::Tensor x, dy, between, y, d_between, dx;
    AttentionActivations attention;
    MlpActivations mlp;
    AttentionGradients d_attention;
    MlpGradients d_mlp;

    explicit Microbatch(const OneLayer& layer)
        : x(random(layer)),
          dy(random(layer)),
          between(at::empty_like(x)),
          y(at::empty_like(x)),
          d_between(at::empty_like(x)),
          dx(at::empty_like(x)),
          attention(layer.shape_, layer.ops_->compute(), layer.ops_->master()),
          mlp(layer.shape_, layer.ops_->compute()),
          d_attention(layer.shape_, layer.ops_->compute()),
          d_mlp(layer.shape_, layer.ops_->compute()) {}

    static at::Tensor random(const OneLayer& layer) {
      return at::randn({layer.shape_.rows(), layer.shape_.hidden}).to(layer.ops_->compute());
    }
  };

  void forward(Microbatch& m) {
    attention(m).forward(m.x, m.between);
    mlp(m).forward(m.between, m.y);
  }

  AttentionBlock attention(Microbatch& m) {
    return {.ops = *ops_,
            .shape = shape_,
            .rope = rope_,
            .weights = attention_,
            .kept = m.attention,
            .gradients = m.d_attention,
            .scratch = scratch_};
  }

  MlpBlock mlp(Microbatch& m) {
    return {.ops = *ops_,
            .shape = shape_,
            .weights = mlp_,
            .kept = m.mlp,
            .gradients = m.d_mlp,
            .scratch = scratch_};
  }

  std::unique_ptr<Ops> ops_;
  LayerShape shape_;
  RopeTable rope_;
  ParameterStore store_;
  AttentionWeights attention_;
  MlpWeights mlp_;
  BlockScratch scratch_;
  std::vector<std::unique_ptr<Microbatch>> batch_;
};

TEST(ModelBlocks, WeightGradientsThatAreDeferredHaveTheSameBits) {
  for (const auto precision : {job::ComputePrecision::float32, job::ComputePrecision::bfloat16}) {
    OneLayer at_once(precision);
    at_once.at_once();
    OneLayer deferred(precision);
    deferred.deferred();
    const auto expected = at_once.gradients();
    const auto actual = deferred.gradients();
    ASSERT_EQ(actual.size(), expected.size());
    for (std::size_t i = 0; i < actual.size(); ++i) {
      EXPECT_TRUE(actual[i].equal(expected[i])) << "tensor " << i;
      EXPECT_GT(actual[i].abs().sum().item<double>(), 0.0) << "tensor " << i;
    }
  }
}

}  // namespace
}  // namespace ptrain::stage
