#include <cmath>
#include <cstddef>
#include <tuple>
#include <vector>

#include <gtest/gtest.h>

#include "tests/unit/stage/compute_devices.h"
#include "tools/stage/model/stage_model.h"
#include "tools/stage/optim/adamw.h"
#include "tools/stage/optim/gradient_norm.h"

namespace ptrain::stage {
namespace {

// A parameter with a gradient, of a size that is no multiple of a vector.
Parameter parameter(bool decay, at::ScalarType compute, at::Device device = at::kCPU) {
  at::manual_seed(3);
  const at::Tensor value = at::randn({7, 13}).to(device);
  return {.spec = {.name = "w", .shape = {7, 13}, .layer = std::nullopt, .decay = decay},
          .value = value,
          .grad = at::randn({7, 13}).to(device),
          .compute = compute == at::kFloat ? value : value.to(compute)};
}

// Loshchilov and Hutter's algorithm 2, element by element in float64.
struct Scalar {
  double value;
  double m = 0.0;
  double v = 0.0;

  void update(double g, int n, double lr, const job::OptimConfig& c, double decay) {
    m = c.beta1 * m + (1.0 - c.beta1) * g;
    v = c.beta2 * v + (1.0 - c.beta2) * g * g;
    const double corrected_m = m / (1.0 - std::pow(c.beta1, n));
    const double corrected_v = v / (1.0 - std::pow(c.beta2, n));
    value -= lr * (corrected_m / (std::sqrt(corrected_v) + c.eps) + decay * value);
  }
};

class AdamWTest : public ::testing::TestWithParam<std::tuple<bool, at::Device>> {};
INSTANTIATE_TEST_SUITE_P(
    Decay, AdamWTest, ::testing::Combine(::testing::Bool(), ::testing::ValuesIn(compute_devices())),
    [](const auto& of) {
      return (std::get<0>(of.param) ? "On" : "Off") + device_name(std::get<1>(of.param));
    });

TEST_P(AdamWTest, FollowsThePaperInFloat64) {
  const auto [decay, device] = GetParam();
  const job::OptimConfig config;
  std::vector<Parameter> parameters = {parameter(decay, at::kBFloat16, device)};
  std::vector<Scalar> expected;
  for (int i = 0; i < 91; ++i) {
    expected.push_back({parameters[0].value.view(-1)[i].item<double>()});
  }
  AdamW optimiser(config, parameters);
  for (int n = 1; n <= 5; ++n) {
    parameters[0].grad.normal_();
    for (int i = 0; i < 91; ++i) {
      expected[i].update(0.5 * parameters[0].grad.view(-1)[i].item<double>(), n, 0.01, config,
                         decay ? config.weight_decay : 0.0);
    }
    optimiser.step(parameters, 0.01, 0.5);
  }
  EXPECT_EQ(optimiser.updates(), 5U);
  for (int i = 0; i < 91; ++i) {
    EXPECT_NEAR(parameters[0].value.view(-1)[i].item<double>(), expected[i].value, 2e-6);
  }
  EXPECT_TRUE(parameters[0].compute.equal(parameters[0].value.to(at::kBFloat16)));
}

TEST(AdamWRestoreTest, ContinuesFromRestoredMomentsBitForBit) {
  std::vector<Parameter> straight = {parameter(true, at::kFloat)};
  std::vector<Parameter> restored = {parameter(true, at::kFloat)};
  AdamW one({}, straight);
  AdamW two({}, restored);
  one.step(straight, 0.01, 1.0);
  restored[0].value.copy_(straight[0].value);
  const std::vector<OptimiserState> saved = one.state(0);
  ASSERT_EQ(saved.size(), 2U);
  EXPECT_EQ(saved[0].suffix, ".exp_avg");
  EXPECT_EQ(saved[1].suffix, ".exp_avg_sq");
  for (std::size_t i = 0; i < 2; ++i) two.state(0)[i].tensor.copy_(saved[i].tensor);
  two.set_updates(one.updates());
  one.step(straight, 0.01, 1.0);
  two.step(restored, 0.01, 1.0);
  EXPECT_TRUE(straight[0].value.equal(restored[0].value));
}

class GradientSquaresTest : public ::testing::TestWithParam<at::Device> {};
INSTANTIATE_TEST_SUITE_P(EveryDevice, GradientSquaresTest, ::testing::ValuesIn(compute_devices()),
                         [](const auto& of) { return device_name(of.param); });

TEST_P(GradientSquaresTest, AreOnePerParameterInFloat64) {
  std::vector<Parameter> parameters = {parameter(true, at::kFloat, GetParam()),
                                       parameter(false, at::kFloat, GetParam())};
  parameters[1].grad.fill_(1e-30);  // squares that float32 could not hold
  const std::vector<double> squares = gradient_squares(parameters);
  ASSERT_EQ(squares.size(), 2U);
  EXPECT_NEAR(squares[0] / parameters[0].grad.to(at::kDouble).square().sum().item<double>(), 1.0,
              1e-14);
  EXPECT_NEAR(squares[1] / 91e-60, 1.0, 1e-6);
}

TEST(GradientSquaresOrderTest, IsThatOfTheParametersWhateverTheirDtypes) {
  std::vector<Parameter> parameters;
  for (const double value : {1.0, 2.0, 3.0, 4.0}) {
    parameters.push_back(parameter(true, at::kFloat));
    const auto type = parameters.size() % 2 == 0 ? at::kDouble : at::kFloat;
    parameters.back().grad = at::full({1}, value, type);
  }
  EXPECT_EQ(gradient_squares(parameters), (std::vector<double>{1.0, 4.0, 9.0, 16.0}));
}

}  // namespace
}  // namespace ptrain::stage
