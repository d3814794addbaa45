#include "tools/stage/optim/muon.h"

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <tuple>
#include <vector>

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <gtest/gtest.h>

#include "libcommon/base/error.h"
#include "tests/unit/stage/compute_devices.h"
#include "tools/stage/kernels/kernels.h"
#include "tools/stage/optim/adamw.h"
#include "tools/stage/optim/optimiser.h"
#include "tools/stage/optim/weight_average.h"

namespace ptrain::stage {
namespace {

using Shape = std::vector<std::int64_t>;

// The numbers of muon_golden.py.
at::Tensor numbers(std::int64_t seed, const Shape& shape) {
  at::Tensor values = at::empty(shape, at::kFloat);
  auto* at = values.data_ptr<float>();
  for (std::int64_t i = 0; i < values.numel(); ++i) {
    at[i] = static_cast<float>((i * 37 + seed * 101 + i * i * 11) % 127 - 63) / 64;
  }
  return values;
}

Parameter parameter(const std::string& name, const Shape& shape, std::optional<std::int64_t> layer,
                    at::Device device = at::kCPU) {
  const at::Tensor value = numbers(1, shape).to(device);
  return {.spec = {.name = name, .shape = shape, .layer = layer, .decay = layer.has_value()},
          .value = value,
          .grad = at::zeros_like(value),
          .compute = value.to(at::kBFloat16)};
}

Parameter hidden_matrix(const Shape& shape, at::Device device = at::kCPU) {
  return parameter("model.layers.0.mlp.up_proj.weight", shape, 0, device);
}

void expect_near(const at::Tensor& x, const std::vector<double>& expected, double tolerance) {
  const at::Tensor flat = x.to(at::kCPU).reshape(-1);
  ASSERT_EQ(flat.numel(), static_cast<std::int64_t>(expected.size()));
  for (std::size_t i = 0; i < expected.size(); ++i) {
    EXPECT_NEAR(flat[static_cast<std::int64_t>(i)].item<double>(), expected[i], tolerance) << i;
  }
}

// By muon_golden.py, in float64.
const std::vector<double> kNewtonSchulz{0.053020188,  0.735944547,  -0.127314720, -0.203875132,
                                        -0.520825560, -0.314525341, -0.179140333, 0.479862460,
                                        -0.163531107, -0.298568829, -0.492000209, -0.159564133,
                                        -0.072151712, 0.782063985,  0.127473090};
const std::vector<double> kWideSpectral{0.556312376,  -0.626843303, 0.425724281,  -0.084024843,
                                        -0.275806195, -0.147724943, 0.295016193,  -0.793709046,
                                        0.326893608,  -0.102789823, -0.239280209, -0.032608907,
                                        0.496833373,  -0.534441004, 0.717205957};
const std::vector<double> kTallSpectral{0.550586844,  -0.624999375, 0.414651537,  -0.100045644,
                                        -0.279259801, -0.132956742, 0.317439748,  -0.785782047,
                                        0.310064978,  -0.119527387, -0.237279470, -0.035789320,
                                        0.483398748,  -0.542172590, 0.744200523};
const std::vector<double> kWideAdamw{0.575042020,  -0.632341112, 0.439371142,  -0.089090457,
                                     -0.286470061, -0.151920277, 0.312232168,  -0.809992550,
                                     0.335073749,  -0.114653546, -0.244378441, -0.031754281,
                                     0.514099932,  -0.539504143, 0.707094789};

class MuonOnDevices : public ::testing::TestWithParam<at::Device> {
 protected:
  // Three updates, with the golden values' settings.
  Parameter moved(const Shape& shape, MuonScale scale, NewtonSchulzPrecision precision) {
    std::vector<Parameter> parameters{hidden_matrix(shape, GetParam())};
    job::OptimConfig config;
    config.weight_decay = 0.1;
    Muon muon({.momentum = 0.95, .scale = scale, .precision = precision}, config, parameters);
    for (std::int64_t step = 0; step < 3; ++step) {
      parameters[0].grad.copy_(numbers(10 + step, shape));
      muon.step(parameters, 0.02, 0.5);
    }
    EXPECT_TRUE(parameters[0].compute.equal(parameters[0].value.to(at::kBFloat16)));
    return parameters[0];
  }
  MatrixProduct product;
};
INSTANTIATE_TEST_SUITE_P(EveryDevice, MuonOnDevices, ::testing::ValuesIn(compute_devices()),
                         [](const auto& of) { return device_name(of.param); });

TEST_P(MuonOnDevices, NewtonSchulzIsThatOfItsPublication) {
  const at::Tensor u = numbers(7, {3, 5}).to(GetParam());
  expect_near(newton_schulz(u, NewtonSchulzPrecision::float32, product), kNewtonSchulz, 2e-5);
  expect_near(newton_schulz(u, NewtonSchulzPrecision::bfloat16, product), kNewtonSchulz, 0.06);
}

TEST_P(MuonOnDevices, UpdatesAreThoseOfItsPublication) {
  const auto float32 = NewtonSchulzPrecision::float32;
  expect_near(moved({3, 5}, MuonScale::spectral, float32).value, kWideSpectral, 2e-6);
  expect_near(moved({5, 3}, MuonScale::spectral, float32).value, kTallSpectral, 2e-6);
  expect_near(moved({3, 5}, MuonScale::adamw, float32).value, kWideAdamw, 2e-6);
  expect_near(moved({3, 5}, MuonScale::spectral, NewtonSchulzPrecision::bfloat16).value,
              kWideSpectral, 4e-3);
}

TEST(NewtonSchulzTest, SingularValuesComeNearOneWhateverTheyWere) {
  at::manual_seed(5);
  MatrixProduct product;
  for (const Shape& shape : {Shape{48, 48}, Shape{40, 100}, Shape{100, 40}, Shape{1, 9}}) {
    for (const double size : {1e-6, 1.0, 1e6}) {
      const at::Tensor u = size * at::randn(shape);
      for (const auto precision :
           {NewtonSchulzPrecision::float32, NewtonSchulzPrecision::bfloat16}) {
        const at::Tensor o = newton_schulz(u, precision, product);
        EXPECT_EQ(o.sizes(), u.sizes());
        EXPECT_TRUE(o.is_contiguous());
        // The least of a random square matrix is too small to be brought all the way up.
        const at::Tensor values = std::get<1>(at::svd(o));
        EXPECT_LT(values.max().item<double>(), 1.25);
        if (shape[0] != shape[1]) {
          EXPECT_GT(values.min().item<double>(), 0.6);
        }
        // The directions stay: u^T o is symmetric and has no negative eigenvalues.
        EXPECT_GT((u * o).sum().item<double>() / u.norm().item<double>() / o.norm().item<double>(),
                  0.5);
      }
    }
  }
}

TEST(NewtonSchulzTest, OfATransposedMatrixIsTheTransposedOne) {
  MatrixProduct product;
  const at::Tensor u = numbers(3, {17, 30});
  const at::Tensor one = newton_schulz(u, NewtonSchulzPrecision::float32, product);
  const at::Tensor other =
      newton_schulz(u.t().contiguous(), NewtonSchulzPrecision::float32, product);
  EXPECT_TRUE(one.t().allclose(other, 1e-5, 1e-5));
}

TEST(NewtonSchulzTest, ZerosStayZero) {
  MatrixProduct product;
  const at::Tensor zeros = at::zeros({4, 6});
  EXPECT_TRUE(newton_schulz(zeros, NewtonSchulzPrecision::float32, product).equal(zeros));
}

std::vector<Parameter> a_layer_with_ends() {
  std::vector<Parameter> parameters{
      parameter("model.embed_tokens.weight", {20, 8}, std::nullopt),
      parameter("model.layers.0.input_layernorm.weight", {8}, 0),
      parameter("model.layers.0.self_attn.q_proj.weight", {8, 8}, 0),
      parameter("model.layers.0.mlp.down_proj.weight", {8, 24}, 0),
      parameter("lm_head.weight", {20, 8}, std::nullopt),
  };
  for (std::size_t i = 0; i < parameters.size(); ++i) {
    parameters[i].grad.copy_(numbers(static_cast<std::int64_t>(50 + i), parameters[i].spec.shape));
  }
  return parameters;
}

TEST(MuonTest, MovesHiddenMatricesAndLeavesTheRestToAdamW) {
  std::vector<Parameter> by_muon = a_layer_with_ends();
  std::vector<Parameter> by_adamw = a_layer_with_ends();
  Muon muon({.adamw_lr_ratio = 0.5}, {}, by_muon);
  AdamW adamw({}, by_adamw);
  for (int step = 0; step < 3; ++step) {
    muon.step(by_muon, 0.02, 0.7);
    adamw.step(by_adamw, 0.01, 0.7);
  }
  const bool hidden[] = {false, false, true, true, false};
  for (std::size_t i = 0; i < by_muon.size(); ++i) {
    EXPECT_EQ(Muon::is_hidden_matrix(by_muon[i]), hidden[i]);
    EXPECT_EQ(by_muon[i].value.equal(by_adamw[i].value), !hidden[i]) << i;
    const std::vector<OptimiserState> state = muon.state(i);
    EXPECT_EQ(state.size(), hidden[i] ? 1U : 2U);
    EXPECT_EQ(state[0].suffix, hidden[i] ? ".momentum_buffer" : ".exp_avg");
    EXPECT_EQ(state[0].tensor.sizes(), by_muon[i].value.sizes());
  }
  EXPECT_EQ(muon.updates(), 3U);
}

TEST(MuonTest, GoesOnFromRestoredStateBitForBit) {
  std::vector<Parameter> straight = a_layer_with_ends();
  std::vector<Parameter> restored = a_layer_with_ends();
  Muon one({}, {}, straight);
  Muon two({}, {}, restored);
  for (int step = 0; step < 2; ++step) one.step(straight, 0.02, 1.0);
  for (std::size_t i = 0; i < straight.size(); ++i) {
    restored[i].value.copy_(straight[i].value);
    const std::vector<OptimiserState> saved = one.state(i);
    for (std::size_t s = 0; s < saved.size(); ++s) two.state(i)[s].tensor.copy_(saved[s].tensor);
  }
  two.set_updates(one.updates());
  one.step(straight, 0.02, 1.0);
  two.step(restored, 0.02, 1.0);
  for (std::size_t i = 0; i < straight.size(); ++i) {
    EXPECT_TRUE(straight[i].value.equal(restored[i].value)) << i;
  }
}

// A cell that holds some of the parameters moves these as one that holds all.
TEST(MuonTest, ACutChangesNoBit) {
  std::vector<Parameter> whole = a_layer_with_ends();
  const std::vector<Parameter> same = a_layer_with_ends();
  std::vector<Parameter> first(same.begin(), same.begin() + 3);
  std::vector<Parameter> second(same.begin() + 3, same.end());
  Muon of_whole({}, {}, whole);
  Muon of_first({}, {}, first);
  Muon of_second({}, {}, second);
  for (int step = 0; step < 3; ++step) {
    of_whole.step(whole, 0.02, 1.0);
    of_first.step(first, 0.02, 1.0);
    of_second.step(second, 0.02, 1.0);
  }
  for (std::size_t i = 0; i < whole.size(); ++i) {
    EXPECT_TRUE(whole[i].value.equal(same[i].value)) << i;
  }
}

TEST(MuonTest, ThreadsChangeNoBit) {
  const auto moved = [](int threads, NewtonSchulzPrecision precision) {
    at::Tensor value;
    std::thread([&] {
      at::set_num_threads(threads);
      kernels::set_threads(threads);
      std::vector<Parameter> parameters{hidden_matrix({300, 517})};
      Muon muon({.precision = precision}, {}, parameters);
      for (std::int64_t step = 0; step < 2; ++step) {
        parameters[0].grad.copy_(numbers(step, {300, 517}));
        muon.step(parameters, 0.02, 1.0);
      }
      value = parameters[0].value;
    }).join();
    return value;
  };
  const int before = at::get_num_threads();
  const int kernels_before = kernels::max_threads();
  for (const auto precision : {NewtonSchulzPrecision::float32, NewtonSchulzPrecision::bfloat16}) {
    EXPECT_TRUE(moved(1, precision).equal(moved(2, precision)));
    EXPECT_TRUE(moved(1, precision).equal(moved(3, precision)));
  }
  at::set_num_threads(before);
  kernels::set_threads(kernels_before);
}

TEST(MuonTest, OtherParametersThanItsOwnAreADefect) {
  std::vector<Parameter> parameters = a_layer_with_ends();
  Muon muon({}, {}, parameters);
  parameters.pop_back();
  EXPECT_THROW(muon.step(parameters, 0.01, 1.0), Error);
}

TEST(MakeOptimiserTest, MakesTheOneThatIsAskedFor) {
  const std::vector<Parameter> parameters{hidden_matrix({3, 5})};
  EXPECT_EQ(make_optimiser({}, std::nullopt, parameters)->state(0).size(), 2U);
  EXPECT_EQ(make_optimiser({}, MuonConfig{}, parameters)->state(0)[0].suffix, ".momentum_buffer");
}

// Moves weights to numbers that its step alone decides.
class Jumping final : public Optimiser {
 public:
  std::vector<OptimiserState> state(std::size_t) const override { return {}; }

 private:
  void update(std::vector<Parameter>& parameters, double, double) override {
    for (Parameter& each : parameters) {
      each.value.copy_(numbers(static_cast<std::int64_t>(updates()), each.value.sizes().vec()));
    }
  }
};

TEST(AveragingTest, IsTheExponentialMeanOfTheTail) {
  std::vector<Parameter> parameters{hidden_matrix({3, 5}), parameter("norm", {7}, std::nullopt)};
  Averaging average(std::make_unique<Jumping>(), {.decay = 0.9, .from = 2}, parameters);
  std::vector<double> expected(15);
  for (std::uint64_t step = 1; step <= 6; ++step) {
    average.step(parameters, 1e-3, 1);
    for (std::int64_t i = 0; i < 15; ++i) {
      double& mean = expected[static_cast<std::size_t>(i)];
      const double weight = parameters[0].value.view(-1)[i].item<double>();
      mean = step <= 2 ? weight : 0.9 * mean + 0.1 * weight;
    }
  }
  ASSERT_EQ(average.state(0).size(), 1u);
  expect_near(average.state(0)[0].tensor, expected, 1e-6);
  EXPECT_EQ(average.state(0)[0].suffix, ".ema");
  EXPECT_FALSE(average.state(0)[0].tensor.is_same(parameters[0].value));
}

TEST(AveragingTest, GoesOnWhereACheckpointLeftIt) {
  std::vector<Parameter> parameters{hidden_matrix({3, 5})};
  Averaging whole(std::make_unique<Jumping>(), {.decay = 0.5, .from = 0}, parameters);
  for (int step = 1; step <= 4; ++step) whole.step(parameters, 1e-3, 1);
  const at::Tensor expected = whole.state(0)[0].tensor.clone();
  Averaging first(std::make_unique<Jumping>(), {.decay = 0.5, .from = 0}, parameters);
  for (int step = 1; step <= 2; ++step) first.step(parameters, 1e-3, 1);
  Averaging second(std::make_unique<Jumping>(), {.decay = 0.5, .from = 0}, parameters);
  second.state(0)[0].tensor.copy_(first.state(0)[0].tensor);
  second.set_updates(2);
  for (int step = 3; step <= 4; ++step) second.step(parameters, 1e-3, 1);
  EXPECT_TRUE(second.state(0)[0].tensor.equal(expected));
}

TEST(AveragingTest, WithoutDecayItIsTheWeightsThemselves) {
  std::vector<Parameter> parameters{hidden_matrix({3, 5})};
  Averaging average(std::make_unique<Jumping>(), {.decay = 0, .from = 0}, parameters);
  for (int step = 1; step <= 3; ++step) average.step(parameters, 1e-3, 1);
  EXPECT_TRUE(average.state(0)[0].tensor.equal(parameters[0].value));
  for (const double decay : {-0.1, 1.0, std::nan("")}) {
    EXPECT_THROW(Averaging(std::make_unique<Jumping>(), {.decay = decay, .from = 0}, parameters),
                 Error);
  }
}

}  // namespace
}  // namespace ptrain::stage
