// Every fused kernel on every instruction set of this processor, against the generic float64
// arithmetic (which model_stage_test compares with autograd), on shapes that are not
// multiples of a vector.

#include "tools/stage/kernels/kernels.h"

#include <algorithm>
#include <cmath>
#include <type_traits>
#include <vector>

#include <ATen/ATen.h>
#include <gtest/gtest.h>
#include <omp.h>

#include "tools/stage/model/generic_ops.h"

namespace ptrain::stage::kernels {
namespace {

template <class T>
constexpr at::ScalarType kType = std::is_same_v<T, float> ? at::kFloat : at::kBFloat16;
// Of one rounding to T, with room for float32's own.
template <class T>
constexpr double kTolerance = std::is_same_v<T, float> ? 2e-6 : 5e-3;

template <class T>
T* data(const at::Tensor& x) {
  return static_cast<T*>(x.data_ptr());
}

at::Tensor wide(const at::Tensor& x) { return x.to(at::kDouble); }

double relative_error(const at::Tensor& actual, const at::Tensor& expected) {
  const double difference = (wide(actual) - expected).norm().item<double>();
  return difference / (expected.norm().item<double>() + 1e-30);
}

template <class T>
class KernelsTest : public ::testing::Test {
 protected:
  KernelsTest() { at::manual_seed(11); }

  static at::Tensor random(at::IntArrayRef sizes) { return at::randn(sizes).to(kType<T>); }
  static at::Tensor like(const at::Tensor& x) { return at::full_like(x, 77.0); }

  GenericOps reference_{at::kCPU, at::kDouble, at::kDouble};
};
using Storage = ::testing::Types<float, Bf16>;
TYPED_TEST_SUITE(KernelsTest, Storage);

TYPED_TEST(KernelsTest, RmsNormForwardAndBackwardAgreeWithFloat64) {
  using T = TypeParam;
  for (const std::int64_t width : {1, 15, 16, 37, 64}) {
    const std::int64_t rows = 2 * kRmsNormRowsPerPartial + 3;
    const at::Tensor x = this->random({rows, width});
    const at::Tensor dy = this->random({rows, width});
    const at::Tensor residual = this->random({rows, width});
    const at::Tensor weight = at::randn({width});
    const at::Tensor y = at::empty({rows, width}, at::kDouble);
    const at::Tensor dx = at::empty({rows, width}, at::kDouble);
    const at::Tensor dweight = at::ones({width}, at::kDouble);
    this->reference_.rms_norm(wide(x), wide(weight), 1e-5, y);
    this->reference_.rms_norm_backward(wide(dy), wide(x), wide(weight), 1e-5, wide(residual), dx,
                                       dweight);
    for (const InstructionSet set : instruction_sets()) {
      const at::Tensor out = this->like(x);
      run_on(set, RmsNorm<T>{data<T>(x), data<float>(weight), data<T>(out), rows, width, 1e-5F});
      EXPECT_LT(relative_error(out, y), kTolerance<T>) << width;

      const at::Tensor sum = at::ones({width});
      const at::Tensor partials = at::empty({rms_norm_partials(rows), width});
      const at::Tensor in_place = residual.clone();
      run_on(set, RmsNormBackward<T>{data<T>(dy), data<T>(x), data<float>(weight),
                                     data<T>(in_place), data<T>(in_place), data<float>(sum),
                                     data<float>(partials), rows, width, 1e-5F});
      EXPECT_LT(relative_error(in_place, dx), kTolerance<T>) << width;
      EXPECT_LT(relative_error(sum, dweight), 2e-6) << width;
    }
  }
}

TYPED_TEST(KernelsTest, RopeAgreesWithFloat64AndItsBackwardUndoesIt) {
  using T = TypeParam;
  const AttentionShape shape{
      .batch = 2, .tokens = 5, .heads = 3, .key_value_heads = 1, .head_dim = 22};
  const at::Tensor angle = at::rand({shape.tokens, shape.head_dim / 2}, at::kDouble) * 6.0;
  const RopeTable exact{angle.cos(), angle.sin()};
  const at::Tensor cosine = angle.cos().to(at::kFloat);
  const at::Tensor sine = angle.sin().to(at::kFloat);
  const at::Tensor x = this->random({10, shape.qkv_width()});
  at::Tensor expected = wide(x).clone();
  this->reference_.rope(expected, exact, shape, Rotation::forward);
  for (const InstructionSet set : instruction_sets()) {
    const at::Tensor y = x.clone();
    Rope<T> kernel{data<T>(y),
                   shape.qkv_width(),
                   data<float>(cosine),
                   data<float>(sine),
                   10,
                   shape.tokens,
                   4,
                   shape.head_dim,
                   1.0F};
    run_on(set, kernel);
    EXPECT_LT(relative_error(y, expected), kTolerance<T>);
    kernel.sign = -1.0F;
    run_on(set, kernel);
    EXPECT_LT(relative_error(y, wide(x)), 2 * kTolerance<T>);
    EXPECT_TRUE(y.narrow(1, 88, 22).equal(x.narrow(1, 88, 22))) << "values are not rotated";
  }
}

TYPED_TEST(KernelsTest, SwiGluForwardAndBackwardAgreeWithFloat64) {
  using T = TypeParam;
  for (const std::int64_t width : {1, 16, 45}) {
    const std::int64_t rows = 7;
    const at::Tensor gate_up = (this->random({rows, 2 * width}) * 3.0).contiguous();
    const at::Tensor d_out = this->random({rows, width});
    const at::Tensor out = at::empty({rows, width}, at::kDouble);
    const at::Tensor product = wide(d_out).clone();
    const at::Tensor d_gate_up = at::empty({rows, 2 * width}, at::kDouble);
    this->reference_.swiglu(wide(gate_up), out);
    this->reference_.swiglu_backward(wide(gate_up), product, d_gate_up);
    for (const InstructionSet set : instruction_sets()) {
      const at::Tensor y = this->like(d_out);
      run_on(set, SwiGlu<T>{data<T>(gate_up), data<T>(y), rows, width});
      EXPECT_LT(relative_error(y, out), kTolerance<T>);
      const at::Tensor in_place = d_out.clone();
      const at::Tensor d = this->like(gate_up);
      run_on(set, SwiGluBackward<T>{data<T>(gate_up), data<T>(in_place), data<T>(d),
                                    data<T>(in_place), rows, width});
      EXPECT_LT(relative_error(d, d_gate_up), kTolerance<T>);
      EXPECT_LT(relative_error(in_place, out), kTolerance<T>);
    }
  }
}

struct AttentionCase {
  AttentionShape shape;
  const char* what;
};

const AttentionCase kAttentionCases[] = {
    {{1, 1, 1, 1, 2}, "a single token"},
    {{2, 7, 2, 2, 10}, "less than a block"},
    {{1, 64, 2, 1, 16}, "exactly one block"},
    {{2, 65, 2, 2, 32}, "one token more than a block"},
    {{1, 150, 6, 2, 24}, "three query heads to a key head"},
    {{1, 200, 2, 1, 64}, "a usual head"},
    {{1, 70, 1, 1, 80}, "a head of five vectors"},
};

TYPED_TEST(KernelsTest, AttentionForwardAndBackwardAgreeWithFloat64) {
  using T = TypeParam;
  for (const auto& [shape, what] : kAttentionCases) {
    SCOPED_TRACE(what);
    const std::int64_t rows = shape.batch * shape.tokens;
    const at::Tensor qkv = (this->random({rows, shape.qkv_width()}) * 1.5).contiguous();
    const at::Tensor d_out = this->random({rows, shape.out_width()});
    const at::Tensor out = at::empty({rows, shape.out_width()}, at::kDouble);
    const at::Tensor sums = at::empty({shape.batch, shape.heads, shape.tokens}, at::kDouble);
    const at::Tensor d_qkv = at::empty({rows, shape.qkv_width()}, at::kDouble);
    this->reference_.attention(wide(qkv), shape, out, sums);
    this->reference_.attention_backward(wide(d_out), wide(qkv), out, sums, shape, d_qkv);
    const std::int64_t floats =
        std::max(attention_forward_workspace(shape), attention_backward_workspace(shape));
    const at::Tensor workspace = at::empty({omp_get_max_threads() * floats});
    for (const InstructionSet set : instruction_sets()) {
      const at::Tensor y = this->like(d_out);
      const at::Tensor s = at::empty({shape.batch, shape.heads, shape.tokens});
      run_on(set,
             Attention<T>{data<T>(qkv), data<T>(y), data<float>(s), shape, data<float>(workspace)});
      EXPECT_LT(relative_error(y, out), kTolerance<T>);
      EXPECT_LT(relative_error(s, sums), 2e-6);
      const at::Tensor d = this->like(qkv);
      run_on(set, AttentionBackward<T>{data<T>(qkv), data<T>(y), data<T>(d_out), data<float>(s),
                                       data<T>(d), shape, data<float>(workspace)});
      EXPECT_LT(relative_error(d, d_qkv), 3 * kTolerance<T>);
    }
  }
}

TYPED_TEST(KernelsTest, CrossEntropyAndItsGradientAgreeWithFloat64) {
  using T = TypeParam;
  const std::int64_t rows = 5, vocab = 83;
  const at::Tensor logits = at::randn({rows, vocab}) * 4.0;
  const at::Tensor targets = at::randint(vocab, {rows}, at::kInt);
  const at::Tensor d_expected = at::empty({rows, vocab}, at::kDouble);
  const double expected = this->reference_.cross_entropy(wide(logits), targets, 0.125, d_expected);
  for (const InstructionSet set : instruction_sets()) {
    const at::Tensor x = logits.clone();
    const at::Tensor d = std::is_same_v<T, float> ? x : at::empty({rows, vocab}, kType<T>);
    std::vector<double> losses(rows);
    run_on(set, CrossEntropy<T>{data<float>(x), data<std::int32_t>(targets), losses.data(),
                                data<T>(d), rows, vocab, 0.125F});
    double total = 0.0;
    for (const double loss : losses) total += loss;
    EXPECT_NEAR(total / expected, 1.0, 1e-6);
    EXPECT_LT(relative_error(d, d_expected), kTolerance<T>);
  }
}

TYPED_TEST(KernelsTest, CrossEntropyOfHugeLogitsIsExactAndOfANanIsNan) {
  using T = TypeParam;
  for (const InstructionSet set : instruction_sets()) {
    float logits[] = {3e4F, 3e4F, -3e4F, 0.0F, NAN, 1.0F, 2.0F, 3.0F};
    const std::int32_t targets[] = {1, 2};
    double losses[2];
    run_on(set, CrossEntropy<T>{logits, targets, losses, nullptr, 2, 4, 1.0F});
    EXPECT_NEAR(losses[0], std::log(2.0), 1e-6);
    EXPECT_TRUE(std::isnan(losses[1]));
  }
}

TYPED_TEST(KernelsTest, EmbeddingGathersAndScattersRowsInOrder) {
  using T = TypeParam;
  const std::int64_t width = 70;
  const at::Tensor table = this->random({9, width});
  const at::Tensor tokens = at::tensor({3, 8, 3, 0, 3}, at::kInt);
  const at::Tensor d_out = this->random({5, width});
  at::Tensor expected = at::ones({9, width});
  for (int i = 0; i < 5; ++i) {
    expected[tokens[i].item<std::int64_t>()] += d_out[i].to(at::kFloat);
  }
  for (const InstructionSet set : instruction_sets()) {
    const at::Tensor out = this->like(d_out);
    run_on(set, Embedding<T>{data<std::int32_t>(tokens), data<T>(table), data<T>(out), 5, width});
    EXPECT_TRUE(out.equal(table.index_select(0, tokens)));
    const at::Tensor d_table = at::ones({9, width});
    run_on(set, EmbeddingBackward<T>{data<std::int32_t>(tokens), data<T>(d_out),
                                     data<float>(d_table), 5, width});
    EXPECT_TRUE(d_table.equal(expected));
  }
}

TEST(PlainKernelsTest, ExponentialStaysWithinItsDocumentedBound) {
  std::vector<float> x;
  for (float v = -87.3F; v < 88.0F; v += 0.0007F) x.push_back(v);
  std::vector<float> y(x.size());
  for (const InstructionSet set : instruction_sets()) {
    run_on(set, Exponential{x.data(), y.data(), static_cast<std::int64_t>(x.size())});
    double worst = 0.0;
    for (std::size_t i = 0; i < x.size(); ++i) {
      worst = std::max(worst, std::abs(y[i] / std::exp(static_cast<double>(x[i])) - 1.0));
    }
    EXPECT_LT(worst, 1.2e-7);
  }
}

TEST(PlainKernelsTest, ExponentialOfExtremes) {
  const float x[] = {-INFINITY, -1e30F, -87.4F, 0.0F, 88.0F, 1e30F, INFINITY, NAN};
  for (const InstructionSet set : instruction_sets()) {
    float y[8];
    run_on(set, Exponential{x, y, 8});
    EXPECT_EQ(y[0], 0.0F);
    EXPECT_EQ(y[1], 0.0F);
    EXPECT_EQ(y[2], 0.0F);
    EXPECT_EQ(y[3], 1.0F);
    EXPECT_EQ(y[4], y[5]);
    EXPECT_EQ(y[4], y[6]);
    EXPECT_TRUE(std::isnan(y[7]));
  }
}

TEST(PlainKernelsTest, ToBf16RoundsToNearestEvenAsLibtorchDoes) {
  const at::Tensor x =
      at::cat({at::randn({1001}) * 1e3, at::randn({500}) * 1e-39,
               at::tensor({0.0F, -0.0F, INFINITY, -INFINITY, 3.4e38F, 1.00390625F, 1.01171875F})});
  for (const InstructionSet set : instruction_sets()) {
    const at::Tensor y = at::empty(x.sizes(), at::kBFloat16);
    run_on(set, ToBf16{data<float>(x), data<Bf16>(y), x.numel()});
    EXPECT_TRUE(y.equal(x.to(at::kBFloat16)));
    const at::Tensor back = at::empty(x.sizes());
    run_on(set, ToFloat{data<Bf16>(y), data<float>(back), x.numel()});
    EXPECT_TRUE(back.equal(y.to(at::kFloat)));
  }
  const float nan = NAN;
  Bf16 bits{};
  run(ToBf16{&nan, &bits, 1});
  EXPECT_EQ(bits.bits & 0x7fc0, 0x7fc0);
}

// A factor as bfloat16, in either order of its elements in memory.
at::Tensor factor(std::int64_t rows, std::int64_t columns, bool by_columns) {
  if (by_columns) return at::randn({columns, rows}).to(at::kBFloat16).t();
  return at::randn({rows, columns}).to(at::kBFloat16);
}

Bf16Matrix matrix(const at::Tensor& x) { return {data<Bf16>(x), x.stride(0), x.stride(1)}; }

template <class T>
Product<T> product(const at::Tensor& a, const at::Tensor& b, const at::Tensor& addend,
                   const at::Tensor& c, const at::Tensor& workspace) {
  return {.a = matrix(a),
          .b = matrix(b),
          .addend = addend.defined() ? data<T>(addend) : nullptr,
          .c = data<T>(c),
          .stride = c.stride(0),
          .rows = c.size(0),
          .columns = c.size(1),
          .depth = a.size(1),
          .workspace = data<float>(workspace)};
}

// Around the edges of tiles, of blocks of A and B, and of the partial sums.
struct ProductSize {
  std::int64_t rows;
  std::int64_t columns;
  std::int64_t depth;
};
constexpr ProductSize kProductSizes[] = {{1, 1, 1},      {13, 7, 31},    {48, 32, 256},
                                         {49, 33, 257},  {97, 130, 515}, {3, 1030, 20},
                                         {2019, 9, 300}, {31, 1040, 513}};

TYPED_TEST(KernelsTest, ProductAgreesWithFloat64InEveryOrderOfItsFactors) {
  using T = TypeParam;
  for (const auto& [rows, columns, depth] : kProductSizes) {
    const at::Tensor addend = this->random({rows, columns});
    for (const bool a_by_columns : {false, true}) {
      for (const bool b_by_columns : {false, true}) {
        const at::Tensor a = factor(rows, depth, a_by_columns);
        const at::Tensor b = factor(depth, columns, b_by_columns);
        const at::Tensor expected = wide(a).mm(wide(b));
        for (const InstructionSet set : instruction_sets()) {
          const at::Tensor workspace = at::full({product_workspace()}, NAN);
          const at::Tensor c = this->like(addend);
          run_on(set, product<T>(a, b, {}, c, workspace));
          EXPECT_LT(relative_error(c, expected), kTolerance<T>) << rows << " " << columns;
          run_on(set, product<T>(a, b, addend, c, workspace));
          EXPECT_LT(relative_error(c, expected + wide(addend)), kTolerance<T>);
          const at::Tensor sum = addend.clone();
          run_on(set, product<T>(a, b, sum, sum, workspace));
          EXPECT_TRUE(sum.equal(c)) << "where the addend is the result";
        }
      }
    }
  }
}

TYPED_TEST(KernelsTest, ProductIsRoundedOnceAfterItsAddend) {
  using T = TypeParam;
  // 1 + 2^-8 lies between two bfloat16, and 2^-9 above it decides: rounded before the addend, it
  // would be 1.
  const at::Tensor a = at::full({1, 1}, 1.0 + 0x1p-7).to(at::kBFloat16);
  const at::Tensor b =
      at::full({1, 1}, 1.0 - 0x1p-8).to(at::kBFloat16);  // product 1 + 2^-8 - 2^-15
  const at::Tensor addend = at::full({1, 1}, 0x1p-9).to(kType<T>), c = this->like(addend);
  for (const InstructionSet set : instruction_sets()) {
    run_on(set, product<T>(a, b, addend, c, at::empty({product_workspace()})));
    EXPECT_EQ(c.template item<double>(),
              (std::is_same_v<T, float> ? 1.0 + 0x1p-8 - 0x1p-15 + 0x1p-9 : 1.0 + 0x1p-7));
  }
}

TYPED_TEST(KernelsTest, ThreadsAndTheRowsBesideThemChangeNoBitOfAProduct) {
  using T = TypeParam;
  const int before = omp_get_max_threads();
  for (const auto& [rows, columns, depth] : kProductSizes) {
    const at::Tensor a = factor(rows, depth, false), b = factor(depth, columns, true);
    const at::Tensor addend = this->random({rows, columns});
    for (const InstructionSet set : instruction_sets()) {
      const at::Tensor whole = this->like(addend);
      for (const int threads : {1, 2, 3}) {
        omp_set_num_threads(threads);
        const at::Tensor workspace = at::empty({product_workspace()});
        const at::Tensor c = this->like(addend);
        run_on(set, product<T>(a, b, addend, c, workspace));
        if (threads == 1) whole.copy_(c);
        EXPECT_TRUE(c.equal(whole)) << threads << " threads";
        const std::int64_t first = rows / 3, count = (rows + 1) / 2;
        const at::Tensor some = at::empty({count, columns}, addend.options());
        run_on(set, product<T>(a.narrow(0, first, count), b, addend.narrow(0, first, count), some,
                               workspace));
        EXPECT_TRUE(some.equal(whole.narrow(0, first, count))) << count << " of " << rows;
      }
    }
  }
  omp_set_num_threads(before);
}

TEST(PlainKernelsTest, SumOfSquaresHasOneOrderWhateverTheThreads) {
  const at::Tensor x = at::randn({100003});
  const int before = omp_get_max_threads();
  std::vector<double> sums;
  for (const InstructionSet set : instruction_sets()) {
    for (const int threads : {1, 2, 3}) {
      omp_set_num_threads(threads);
      double sum = 0.0;
      run_on(set, SumOfSquares{data<float>(x), x.numel(), &sum});
      EXPECT_NEAR(sum / wide(x).square().sum().item<double>(), 1.0, 1e-13);
      if (threads > 1) {
        EXPECT_EQ(sum, sums.back());
      }
      sums.push_back(sum);
    }
  }
  omp_set_num_threads(before);
}

TYPED_TEST(KernelsTest, ThreadsChangeNoBitOfAttentionAndNorm) {
  using T = TypeParam;
  const AttentionShape shape{
      .batch = 2, .tokens = 130, .heads = 4, .key_value_heads = 2, .head_dim = 20};
  const std::int64_t rows = 260;
  const at::Tensor qkv = this->random({rows, shape.qkv_width()});
  const at::Tensor d_out = this->random({rows, shape.out_width()});
  const at::Tensor weight = at::randn({shape.out_width()});
  const at::Tensor workspace = at::empty(
      {3 * std::max(attention_forward_workspace(shape), attention_backward_workspace(shape))});
  const int before = omp_get_max_threads();
  std::vector<std::vector<at::Tensor>> results;
  for (const int threads : {1, 3}) {
    omp_set_num_threads(threads);
    const at::Tensor out = this->like(d_out), d_qkv = this->like(qkv), dx = this->like(d_out);
    const at::Tensor sums = at::empty({2, 4, 130}), dweight = at::zeros_like(weight);
    const at::Tensor partials = at::empty({rms_norm_partials(rows), shape.out_width()});
    run(Attention<T>{data<T>(qkv), data<T>(out), data<float>(sums), shape, data<float>(workspace)});
    run(AttentionBackward<T>{data<T>(qkv), data<T>(out), data<T>(d_out), data<float>(sums),
                             data<T>(d_qkv), shape, data<float>(workspace)});
    run(RmsNormBackward<T>{data<T>(d_out), data<T>(out), data<float>(weight), nullptr, data<T>(dx),
                           data<float>(dweight), data<float>(partials), rows, shape.out_width(),
                           1e-5F});
    results.push_back({out, sums, d_qkv, dx, dweight});
  }
  omp_set_num_threads(before);
  for (std::size_t i = 0; i < results[0].size(); ++i) {
    EXPECT_TRUE(results[0][i].equal(results[1][i])) << i;
  }
}

}  // namespace
}  // namespace ptrain::stage::kernels
